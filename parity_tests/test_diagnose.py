"""The diagnosis names the place of a fault that is known."""

import pytest

from parity_tests.__main__ import main
from parity_tests.faults import FAULTS
from parity_tests.implementations import Torch
from parity_tests.pair import check_twins
from parity_tests.small import small_config, small_data

PLACES = {
    "D's loss has its sign turned": ("update of discriminator", "metric"),
    "G's loss has a factor 1/2": ("update of generator", "metric"),
    "Adam's b2 is .9991": ("update of discriminator", "moments"),
    "the schedule is off by one step": ("update of discriminator", "weights"),
    "D's statistics do not move in G's step": ("forward pass", "statistics"),
}


@pytest.mark.parametrize("name", PLACES)
def test_place(name):
    (fault,) = (fault for fault in FAULTS if fault.name == name)
    with fault.planted():
        result = check_twins(small_config(**fault.config), small_data(), 3)
    first = result.first
    assert first.entry.step == 1
    assert (first.phase, first.entry.kind) == PLACES[name]
    assert len(result.growth) == 3


def test_twins_that_agree_do_not_diverge():
    result = check_twins(small_config(), small_data(), 3)
    assert result.first is None
    # Both players' gradients after every iteration.
    assert result.coverage.gradients == 3 * result.coverage.arrays["weights"]
    assert not result.coverage.left_out


def test_command(capsys, refused):
    assert main(["diagnose", "--fault", "b2 is .9991", "--steps", "3"]) == 0
    shown = capsys.readouterr().out
    assert "step 1, update of discriminator: moments" in shown
    assert main(["diagnose"]) == 0
    assert capsys.readouterr().out.count("\n") == len(FAULTS)
    refused(main, ["diagnose", "--fault", "nope"], "nope")
    refused(main, ["diagnose", "--fault", "Adam"], "'Adam'", "not of one")
    refused(main, ["diagnose", "--fault", "b2", "--k", "2"], "--k is for")


COMMAND = ["diagnose", "--steps", "3", "--implementation"]
OF_NNX = "parity_tests.nnx_replay:NNX"


@pytest.mark.parametrize("recipe", ["mlp", "dcgan"])
def test_an_implementation_that_is_correct(recipe, capsys):
    assert main([*COMMAND, OF_NNX, "--recipe", recipe]) == 0
    scope, covered, verdict, *_ = capsys.readouterr().out.splitlines()
    assert scope.startswith(f"Recipe {recipe}: loss non-saturating, optimizer")
    assert ", k 1, " in scope
    assert covered.startswith("Compared over 3 steps")
    assert verdict.startswith("Not compared: gradients")


def test_what_a_game_has_not_is_said(capsys):
    """A wrong batch norm shows where there is one."""
    port = "parity_tests.test_trajectory:BiasedVariance"
    assert main([*COMMAND, port]) == 0
    assert ", 0 of statistics;" in capsys.readouterr().out
    assert main([*COMMAND, port, "--recipe", "dcgan"]) == 1
    assert "statistics discriminator/norm/0/var" in capsys.readouterr().out


class _Ignores(Torch):
    """Trains by a choice that is not the config's."""

    choice: dict

    def load_state(self, config, state):
        """Builds the game with it."""
        super().load_state({**config, **self.choice}, state)


class IgnoresLoss(_Ignores):
    """Takes the non-saturating loss, whatever is asked for."""

    choice = {"loss": "non-saturating"}


class IgnoresDecay(_Ignores):
    """Whose learning rates stay."""

    choice = {"decay": 1.0}


class IgnoresK(Torch):
    """Takes one step of D for one of G."""

    def iterate(self, batch):
        """The iteration with the last of D's batches alone."""
        last = {
            name: array[-1:] if name.startswith("discriminator/") else array
            for name, array in batch.items()
        }
        return super().iterate(last)

    def load_state(self, config, state):
        """Builds the game for one step."""
        super().load_state({**config, "k": 1}, state)


@pytest.mark.parametrize(
    ("port", "options"),
    [
        ("IgnoresLoss", ["--loss", "saturating"]),
        ("IgnoresDecay", ["--recipe", "figure1"]),
        ("IgnoresK", ["--k", "2"]),
    ],
)
def test_a_port_that_ignores_a_choice_diverges(port, options, capsys):
    assert main([*COMMAND, f"{__name__}:{port}", *options]) == 1
    assert "The port diverges in step" in capsys.readouterr().out
