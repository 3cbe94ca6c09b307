"""Test level: the same game on several devices is that of one device."""

from dataclasses import replace
from functools import cache
from itertools import product

import chex
import jax
import pytest

import jax_gan
import torch_ref
from experiment.processes import ALONE, rows_of
from experiment.recipes import RECIPES, recipe
from experiment.stream import Stream, stack
from jax_gan.seeds import train_seeds_over
from parity_tests.compare import gap
from parity_tests.control import Reversed
from parity_tests.devices import Job, gaps, largest, run_group, run_job
from parity_tests.faults.base import DCGAN
from parity_tests.faults.devices import FAULTS
from parity_tests.small import small_config, small_data

TOLERANCE = 1e-12
MARGIN = 1000

STEPS = 5
SMALL = {
    "mlp": Job(small_config(k=2, keep_input=0.8), STEPS),
    "dcgan": Job(small_config(**DCGAN), STEPS),
}
# The small game that shows a fault of several devices.
SHOWN_BY = {
    name: "dcgan" if "normal" in name or "running" in name else "mlp"
    for name in FAULTS
}
FAULTY = [replace(SMALL[game], fault=name) for name, game in SHOWN_BY.items()]


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


@pytest.fixture(scope="module")
def jax_group(tmp_path_factory):
    """The small game without convolutions by two processes."""
    folder = tmp_path_factory.mktemp("jax")
    return run_group("jax_gan", [SMALL["mlp"]], 2, 2, folder)[0]


# Each number of devices compiles the game again.
TWO_AND_FOUR = pytest.mark.parametrize(
    "devices", [2, pytest.param(4, marks=pytest.mark.slow)]
)


@TWO_AND_FOUR
@pytest.mark.parametrize("name", SMALL)
def test_virtual_devices(name, devices, measured):
    found = run_job(jax_gan, SMALL[name], ALONE, devices)
    measured(gaps(found, _alone(jax_gan, SMALL[name])), TOLERANCE)


@pytest.mark.parametrize("name", SMALL)
def test_processes_of_torch(name, torch_group, measured):
    job = SMALL[name]
    measured(gaps(torch_group[job], _alone(torch_ref, job)), TOLERANCE)
    across = gaps(torch_group[job], _alone(jax_gan, job))
    assert largest(across).error <= TOLERANCE


def test_two_processes_of_jax_are_two_devices(jax_group, measured):
    """Bit by bit: XLA adds the same two numbers."""
    found = run_job(jax_gan, SMALL["mlp"], ALONE, 2)
    measured(gaps(jax_group, found), 0)


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
    job = Job(config, STEPS)
    found = run_job(jax_gan, job, ALONE, devices)
    measured(gaps(found, _alone(jax_gan, job)), TOLERANCE)


def test_the_game_lies_once_on_each_device():
    """Its memory is donated, and the next game has copies as this one."""
    config, data = SMALL["mlp"].config, small_data()
    device = jax_gan.spread(jax_gan.select_device("cpu", config), ALONE, 2)
    game = jax_gan.create(config, data, device)
    batches = jax_gan.place(Stream(config, data).batches(0, STEPS), device)
    train = jax_gan.VARIANTS["scan"](game)
    trained, _ = train(game, batches)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(game))
    for leaf in jax.tree.leaves(trained):
        assert leaf.sharding.is_equivalent_to(device, leaf.ndim)


# Many games over devices


@TWO_AND_FOUR
def test_seeds_over_devices(devices):
    """Every game is bit-identical to what it is on one device."""
    config, data = SMALL["mlp"].config, small_data()
    first = jax_gan.select_device("cpu", config)
    device = jax_gan.spread(first, ALONE, devices)
    configs = [replace(config, seed=seed) for seed in range(4)]
    batches = stack([Stream(c, data).batches(0, STEPS) for c in configs])

    def games():
        return jax_gan.stack_games(
            [jax_gan.create(c, data, first) for c in configs]
        )

    expected = jax_gan.train_seeds(games(), jax_gan.place(batches))
    found = train_seeds_over(device, games(), batches)
    assert len(jax.tree.leaves(found)[0].sharding.device_set) == devices
    found, expected = jax.device_get((found, expected))
    chex.assert_trees_all_equal(found, expected)


def test_seeds_over_processes_of_torch():
    """Each process trains its share of the games."""
    config, data = SMALL["mlp"].config, small_data()
    torch_ref.select_device("cpu", config)
    configs = [replace(config, seed=seed) for seed in range(4)]

    def trained(configs):
        games = [torch_ref.create(c, data) for c in configs]
        batches = stack([Stream(c, data).batches(0, STEPS) for c in configs])
        stacked = torch_ref.stack_games(games)
        torch_ref.train_seeds(stacked, torch_ref.place(batches))
        return [torch_ref.to_numpy(game) for game in games]

    expected = trained(configs)
    found = [
        game
        for rank in range(2)
        for game in trained(configs[rows_of(len(configs), rank, 2)])
    ]
    for ours, theirs in zip(found, expected, strict=True):
        assert gap(ours, theirs).error == 0


# The whole table: minutes for each line

LONG = 50
LOSSES = ("saturating", "non-saturating")
BATCH = 8
CHANGES = {
    "digits": {"learning_rate": 1e-4, "generator_learning_rate": 2e-4},
    "dcgan64": {
        "generator_hidden": (16, 8, 8, 4),
        "discriminator_hidden": (4, 8, 8, 16),
        "generator_scale": 0.05,
        "discriminator_scale": 0.05,
    },
}


def _jobs():
    """Every recipe, loss and k; simultaneous players have neither choice."""
    jobs = {}
    for name, loss, k in product(RECIPES, LOSSES, (1, 2)):
        simultaneous = RECIPES[name].updates == "simultaneous"
        if simultaneous and (loss, k) != (RECIPES[name].loss, 1):
            continue
        config = recipe(
            name,
            loss=loss,
            k=k,
            batch_size=BATCH,
            precision="float64",
            **CHANGES.get(name, {}),
        )
        jobs[f"{name} {loss} k={k}"] = Job(config, LONG, small=False)
    return jobs


JOBS = _jobs()
GROUPS = {
    "jax_gan, 2 processes of 2 devices": ("jax_gan", 2, 4),
    "torch_ref, 2 processes": ("torch_ref", 2, 2),
    "torch_ref, 4 processes": ("torch_ref", 4, 4),
}


@pytest.fixture(scope="module")
def long_group(tmp_path_factory):
    """All jobs by a group of processes, each group started once."""

    @cache
    def run(group):
        folder = tmp_path_factory.mktemp("group")
        found = run_group(
            GROUPS[group][0], JOBS.values(), *GROUPS[group][1:], folder
        )
        return dict(zip(JOBS, found, strict=True))

    return run


@cache
def _bound(job):
    """1e-12, or three times what a permuted minibatch makes on one device."""
    control = run_job(torch_ref, job, stream=Reversed)
    return max(
        TOLERANCE, 3 * largest(gaps(control, _alone(torch_ref, job))).error
    )


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 4])
@pytest.mark.parametrize("name", JOBS)
def test_every_recipe_on_virtual_devices(name, devices, measured):
    job = JOBS[name]
    found = run_job(jax_gan, job, ALONE, devices)
    measured(gaps(found, _alone(jax_gan, job)), _bound(job))
    across = gaps(found, _alone(torch_ref, job))
    assert largest(across).error <= _bound(job)


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("name", JOBS)
def test_every_recipe_by_processes(name, group, long_group, measured):
    job, found = JOBS[name], long_group(group)[name]
    twin, other = jax_gan, torch_ref
    if group.startswith("torch_ref"):
        twin, other = other, twin
    measured(gaps(found, _alone(twin, job)), _bound(job))
    across = gaps(found, _alone(other, job))
    assert largest(across).error <= _bound(job)
