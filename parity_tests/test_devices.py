"""Test level: the same game on several devices is that of one device."""

import json
from dataclasses import replace
from functools import cache
from itertools import product

import chex
import jax
import pytest

import jax_gan
import torch_ref
from experiment.processes import ALONE, rows_of
from experiment.recipes import RECIPES
from experiment.stream import Stream, stack
from jax_gan.seeds import train_seeds_over
from parity_tests import devices_table
from parity_tests.__main__ import main
from parity_tests.compare import Gap, by_kind
from parity_tests.devices import gaps, largest, run_group, run_job
from parity_tests.devices_page import section
from parity_tests.devices_table import (
    ARRANGEMENTS,
    FAULTY,
    FEW_STEPS,
    MARGIN,
    SMALL,
    TOLERANCE,
    jobs_of,
    measure_recipe,
)
from parity_tests.small import small_data


@cache
def _alone(twin, job):
    """The run on one device."""
    return run_job(twin, job)


@pytest.fixture(scope="module")
def torch_group(tmp_path_factory):
    """The small games by two processes, and one of them with each fault."""
    jobs = [*SMALL.values(), *FAULTY]
    folder = tmp_path_factory.mktemp("torch")
    return dict(
        zip(jobs, run_group("torch_ref", jobs, 2, 2, folder), strict=True)
    )


# JAX compiles each game again for each number of devices: one is enough.
ALL_OF_JAX = [
    ("lecture", 2),
    *(
        pytest.param(*case, marks=pytest.mark.slow)
        for case in product(SMALL, (2, 4))
        if case != ("lecture", 2)
    ),
]


@pytest.mark.parametrize(("name", "devices"), ALL_OF_JAX)
def test_virtual_devices(name, devices, measured):
    found = run_job(jax_gan, SMALL[name], ALONE, devices)
    measured(gaps(found, _alone(jax_gan, SMALL[name])), TOLERANCE)


@pytest.mark.parametrize("name", SMALL)
def test_processes_of_torch(name, torch_group, measured):
    job = SMALL[name]
    measured(gaps(torch_group[job], _alone(torch_ref, job)), TOLERANCE)


@pytest.mark.parametrize(
    "name",
    [
        "lecture",
        pytest.param("mlp", marks=pytest.mark.slow),
        pytest.param("dcgan", marks=pytest.mark.slow),
    ],
)
def test_two_processes_of_jax_are_two_devices(name, tmp_path, measured):
    """Bit by bit: XLA adds the same two numbers."""
    (found,) = run_group("jax_gan", [SMALL[name]], 2, 2, tmp_path)
    measured(gaps(found, run_job(jax_gan, SMALL[name], ALONE, 2)), 0)


@pytest.mark.parametrize("job", FAULTY, ids=lambda job: job.fault)
def test_an_injected_fault_is_detected(job, torch_group, measured):
    correct = replace(job, fault="")
    found = gaps(torch_group[job], _alone(torch_ref, correct))
    measured(found)
    assert largest(found).error >= MARGIN * TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 4])
def test_the_device_stream_is_of_row_and_step(devices, measured):
    config = replace(SMALL["mlp"].config, stream="device")
    job = replace(SMALL["mlp"], config=config)
    found = run_job(jax_gan, job, ALONE, devices)
    measured(gaps(found, _alone(jax_gan, job)), TOLERANCE)


def test_the_game_lies_once_on_each_device():
    """Its memory is donated, and the next game has copies as this one."""
    config, data = SMALL["lecture"].config, small_data()
    device = jax_gan.spread(jax_gan.select_device("cpu", config), ALONE, 2)
    game = jax_gan.create(config, data, device)
    batches = jax_gan.place(Stream(config, data).batches(0, FEW_STEPS), device)
    train = jax_gan.VARIANTS["scan"](game)
    trained, _ = train(game, batches)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(game))
    for leaf in jax.tree.leaves(trained):
        assert leaf.sharding.is_equivalent_to(device, leaf.ndim)


# Many games over devices


def _seeds(name):
    """Games that differ in the seed, and their batches."""
    configs = [replace(SMALL[name].config, seed=seed) for seed in range(4)]
    streams = [Stream(config, small_data()) for config in configs]
    return configs, [stream.batches(0, FEW_STEPS) for stream in streams]


@pytest.mark.parametrize(("name", "devices"), ALL_OF_JAX)
def test_seeds_over_devices(name, devices):
    """Every game is bit-identical to what it is on one device."""
    configs, batches = _seeds(name)
    first = jax_gan.select_device("cpu", configs[0])
    device = jax_gan.spread(first, ALONE, devices)

    def games():
        return jax_gan.stack_games(
            [jax_gan.create(c, small_data(), first) for c in configs]
        )

    stacked = stack(batches)
    expected = jax_gan.train_seeds(games(), jax_gan.place(stacked))
    found = train_seeds_over(device, games(), stacked)
    assert len(jax.tree.leaves(found)[0].sharding.device_set) == devices
    found, expected = jax.device_get((found, expected))
    chex.assert_trees_all_equal(found, expected)


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("name", SMALL)
def test_seeds_over_processes_of_torch(name, processes, measured):
    """Each process trains its share of the games.

    One operation computes for all games of a batch, and rounds by how many
    they are.
    """
    configs, batches = _seeds(name)
    torch_ref.select_device("cpu", configs[0])

    def trained(share):
        games = [torch_ref.create(c, small_data()) for c in configs[share]]
        stacked = torch_ref.stack_games(games)
        torch_ref.train_seeds(stacked, torch_ref.place(stack(batches[share])))
        return [torch_ref.to_numpy(game) for game in games]

    expected = trained(slice(None))
    found = [
        game
        for rank in range(processes)
        for game in trained(rows_of(len(configs), rank, processes))
    ]
    found = [by_kind(*pair) for pair in zip(found, expected, strict=True)]
    measured(max(found, key=largest), TOLERANCE)


# The whole table


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe(name, tmp_path, measured):
    """In every arrangement, against one device of both twins."""
    found, bounds = {}, {}
    for row in measure_recipe(name, tmp_path):
        case = f"{row['loss']} k={row['k']}"
        for arrangement, against in row["gaps"].items():
            for which, errors in against.items():
                key = f"{case}, {arrangement}, {which}"
                found[key] = Gap(max(errors.values()), which)
                bounds[key] = row["bound"]
    assert len(found) == 2 * len(ARRANGEMENTS) * len(jobs_of(name))
    measured(found, bounds)


def _row(loss, error):
    of_each = {"metrics": error / 2, "weights": error}
    against = {"same": of_each, "across": of_each}
    return {
        "recipe": "mlp",
        "loss": loss,
        "k": 1,
        "control": {"weights": 1e-13},
        "bound": 1e-12,
        "gaps": dict.fromkeys(ARRANGEMENTS, against),
    }


@pytest.mark.parametrize(
    ("error", "fault", "status"),
    [(9e-13, 1e-3, 0), (2e-12, 1e-3, 1), (9e-13, 1e-10, 1)],
)
def test_the_command(error, fault, status, tmp_path, monkeypatch):
    """Its file, its table, and its status where a bound is exceeded."""
    rows = [_row("saturating", 1e-15), _row("non-saturating", error)]
    monkeypatch.setattr(devices_table, "measure_recipe", lambda *_: rows)
    monkeypatch.setattr(
        devices_table, "measure_faults", lambda _: {"a fault": fault}
    )
    arguments = ["devices", "--recipes", "mlp", "--out", str(tmp_path)]
    assert main(arguments) == status
    results = json.loads((tmp_path / devices_table.FILE).read_text())
    assert results["rows"] == rows
    page = "\n".join(section(results))
    cells = [f"{error:.1e}"] * (len(ARRANGEMENTS) + 1)
    assert f"| mlp | {' | '.join(cells)} | 1.0e-13 | 1.0e-12 |" in page
    assert f"| a fault | {fault:.1e} | {fault / 1e-12:.0e} |" in page


def test_the_command_adds_to_its_file(tmp_path, monkeypatch):
    """Other recipes stay, unless they were measured in another way."""

    def rows(name, _):
        return [{**_row("saturating", 1e-15), "recipe": name}]

    monkeypatch.setattr(devices_table, "measure_recipe", rows)
    monkeypatch.setattr(devices_table, "measure_faults", lambda _: {})

    def kept(*names):
        main(["devices", "--recipes", *names, "--out", str(tmp_path)])
        results = json.loads((tmp_path / devices_table.FILE).read_text())
        return [row["recipe"] for row in results["rows"]]

    assert kept("paper", "mlp") == ["mlp", "paper"]
    assert kept("mlp", "digits") == ["digits", "mlp", "paper"]
    monkeypatch.setattr(devices_table, "STEPS", 60)
    assert kept("lecture") == ["lecture"]


def test_an_unknown_recipe(tmp_path, refused):
    arguments = ["devices", "--recipes", "vgg", "--out", tmp_path / "report"]
    refused(main, arguments, "vgg")
    assert not list(tmp_path.iterdir())
