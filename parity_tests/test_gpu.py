"""Test level: plain steps of both twins on a GPU, against PyTorch on the CPU.

``pytest -m gpu`` runs it, with ``--on cpu`` on the CPU, where it says that the
test itself is correct.
"""

import subprocess
import sys

import pytest

import jax_gan
import torch_ref
from experiment.checkpoints import load_checkpoint
from experiment.errors import InputError
from experiment.recipes import recipe
from experiment.stream import Stream
from parity_tests.compare import by_kind, gap
from parity_tests.twin import Iteration, reverse

pytestmark = pytest.mark.gpu

STEPS = 20
# In float32 a unit within a rounding error of its kink may land on either side
# of it, in the control or here: a step or two of these few may be so.
KINKS = {"float64": 0, "float32": 2}
FLOORS = {"float64": 1e-12, "float32": 1e-5}
FACTOR = 10  # times what the order of the minibatch does on the CPU
CONFIGS = {
    "lecture": {"batch_size": 16},
    "mlp": {"batch_size": 16},
    "dcgan": {"batch_size": 16},
    "digits": {"batch_size": 16},
    # Both schedules move from step to step.
    "paper": {
        "batch_size": 16,
        "epoch_steps": 2,
        "saturation_epoch": 6,
        "decay": 0.99,
    },
}


@pytest.mark.parametrize("precision", FLOORS)
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(
    "twin", [jax_gan, torch_ref], ids=lambda twin: twin.__name__
)
def test_steps_on_a_gpu(twin, name, precision, digits, measured, request):
    """Every step from the reference's own state; the control likewise."""
    config = recipe(name, precision=precision, **CONFIGS[name])
    data = digits(config)
    try:
        device = twin.select_device(request.config.getoption("on"), config)
    except InputError as error:
        pytest.skip(str(error))
    game = twin.create(config, data, device)
    reference, control = (torch_ref.create(config, data) for _ in range(2))
    stream = Stream(config, data)
    found, excused = [], []
    for number in range(STEPS):
        state = torch_ref.to_numpy(reference)
        game = twin.from_numpy(game, state)
        control = torch_ref.from_numpy(control, state)
        batch = stream.batch(number)
        game, metrics = game.step(twin.place(batch, device))
        reference, expected = reference.step(torch_ref.place(batch))
        backward = torch_ref.place(reverse(Iteration(batch)).batch)
        control, beside = control.step(backward)
        wanted = torch_ref.fetch(expected), torch_ref.to_numpy(reference)
        found.append(_gaps(twin, game, metrics, *wanted))
        excused.append(_gaps(torch_ref, control, beside, *wanted))

    worst, bounds = {}, {}
    for kind in found[0]:
        ranked = sorted(row[kind] for row in found)
        worst[kind] = ranked[-1 - KINKS[precision]]
        beyond = FACTOR * max(row[kind].error for row in excused)
        bounds[kind] = max(FLOORS[precision], beyond)
    moved = torch_ref.to_numpy(torch_ref.create(config, data))
    assert gap(moved, torch_ref.to_numpy(reference)).error > 1e-3
    measured(worst, bounds)


@pytest.mark.parametrize(
    "twin", [jax_gan, torch_ref], ids=lambda twin: twin.__name__
)
def test_deterministic_runs_are_bit_identical(twin, tmp_path, request):
    """In separate processes: the frameworks read it when they start."""
    on, states = request.config.getoption("on"), []
    for name in ("run", "again"):
        options = ["--recipe", "dcgan", "--steps", "20", "--device", on]
        command = ["-m", twin.__name__, "train", "--deterministic", *options]
        out = tmp_path / name
        subprocess.run(
            [sys.executable, *command, "--out", str(out)], check=True
        )
        states.append(load_checkpoint(out).state)
    assert gap(*states).error == 0


def _gaps(twin, game, metrics, expected, state):
    of_metrics = {"metrics": gap(twin.fetch(metrics), expected)}
    return of_metrics | by_kind(twin.to_numpy(game), state)
