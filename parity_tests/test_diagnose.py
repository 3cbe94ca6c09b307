"""The diagnosis names the place of a fault that is known."""

import pytest

from parity_tests.__main__ import main
from parity_tests.diagnose import accounts_of_twins, diagnose
from parity_tests.faults import FAULTS
from parity_tests.small import small_config, small_data

PLACES = {
    "D's loss has its sign turned": (1, "discriminator step", "metrics"),
    "G's loss has a factor 1/2": (1, "generator step", "metrics"),
    "Adam's b2 is .9991": (1, "discriminator step", "moments"),
    "the schedule is off by one step": (1, "discriminator step", "weights"),
    "D's statistics do not move in G's step": (1, "either step", "statistics"),
}


@pytest.mark.parametrize("name", PLACES)
def test_place(name):
    (fault,) = (fault for fault in FAULTS if fault.name == name)
    config = small_config(**fault.config)
    with fault.planted():
        found = diagnose(accounts_of_twins(config, small_data(), 3))
    assert found is not None
    assert (found.iteration, found.phase, found.kind) == PLACES[name]
    assert len(found.growth) == 3
    assert f"iteration {found.iteration}" in str(found)


def test_twins_that_agree_do_not_diverge():
    accounts = accounts_of_twins(small_config(), small_data(), 3)
    assert diagnose(accounts) is None


def test_command(capsys, refused):
    assert main(["diagnose", "--fault", "b2 is .9991", "--steps", "3"]) == 0
    shown = capsys.readouterr().out
    assert "iteration 1, discriminator step: moments differ" in shown
    assert main(["diagnose"]) == 0
    assert capsys.readouterr().out.count("\n") == len(FAULTS)
    refused(main, ["diagnose", "--fault", "nope"], "nope")
    refused(main, ["diagnose", "--fault", "Adam"], "'Adam'", "not of one")


IMPLEMENTATION = ["diagnose", "--steps", "3", "--implementation"]


@pytest.mark.parametrize("recipe", ["mlp", "dcgan"])
def test_an_implementation_that_is_correct(recipe, capsys):
    name = "parity_tests.nnx_replay:NNX"
    assert main([*IMPLEMENTATION, name, "--recipe", recipe]) == 0
    assert "agree" in capsys.readouterr().out


def test_an_implementation_that_diverges(capsys):
    name = "parity_tests.test_trajectory:WrongSlope"
    assert main([*IMPLEMENTATION, name]) == 1
    shown = capsys.readouterr().out
    assert "iteration 1, discriminator step: metrics differ" in shown
