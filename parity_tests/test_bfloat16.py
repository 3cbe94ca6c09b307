"""Mixed precision: the networks in bfloat16, all else in float32.

No bound on rounding errors of a hundredth says anything alone. So the
twins' gradients are held against what bfloat16 itself does to PyTorch's, and
every product of either twin is looked at.
"""

from dataclasses import replace

import numpy as np
import pytest

import jax_gan
import torch_ref
from benchmarks import jax_side, torch_side
from experiment.config import Config
from experiment.errors import InputError
from experiment.recipes import recipe
from experiment.stream import Stream
from parity_tests.compare import NO_GAP, Gap
from parity_tests.pair import both_games
from parity_tests.recording import record_recipe

# A unit near its kink may fall on either side: no game of few units.
LAYERS = {"generator_hidden": (32, 32), "discriminator_hidden": (32, 32)}
CONFIGS = {
    "mlp": recipe("mlp", **LAYERS, keep_hidden=0.5),
    "paper": recipe("paper", data="mnist5k", **LAYERS),
    "dcgan": recipe(
        "dcgan",
        generator_hidden=(8, 4),
        discriminator_hidden=(4, 8),
        batch_size=16,
    ),
}
SEEDS = 8
ALL = pytest.mark.parametrize("name", CONFIGS)


def _mixed(name):
    return replace(CONFIGS[name], compute="bfloat16")


def _moved(before, after, side):
    """What an iteration added to a player's moments, in one vector.

    Its gradients, that is; squares of them would say the same in another unit.
    """
    return np.concatenate(
        [
            (array - before[name]).ravel()
            for name, array in sorted(after.items())
            if name.startswith(f"{side}/optimizer/")
            and array.dtype == np.float32
            and "/optimizer/v/" not in name
        ]
    )


@ALL
def test_twins_differ_by_no_more_than_bfloat16(name, digits, measured):
    """Root mean squares over seeds: of one seed a unit at its kink decides."""
    squares = {side: [] for side in ("generator", "discriminator")}
    worst = NO_GAP
    for seed in range(SEEDS):
        config = replace(_mixed(name), seed=seed)
        data = digits(config)
        batch = Stream(config, data).batch(0)
        ours, theirs = both_games(config, data)
        _, full = both_games(replace(config, compute="full"), data)
        before = jax_gan.to_numpy(ours)
        ours, our_metrics = ours.step(jax_gan.place(batch))
        theirs, their_metrics = theirs.step(torch_ref.place(batch))
        full, _ = full.step(torch_ref.place(batch))
        for side, rows in squares.items():
            a, b, exact = (
                _moved(before, twin.to_numpy(game), side)
                for twin, game in (
                    (jax_gan, ours),
                    (torch_ref, theirs),
                    (torch_ref, full),
                )
            )
            scale = np.linalg.norm(exact)
            pairs = (a, exact), (b, exact), (a, b)
            errors = [np.linalg.norm(x - y) / scale for x, y in pairs]
            # Both are in bfloat16, and both are still the gradient.
            assert min(errors[:2]) > 1e-4
            assert max(errors[:2]) < 0.2
            rows.append(np.square(errors))
        pairs = zip(our_metrics, their_metrics, strict=True)
        error = max(abs(float(a) - float(b)) for a, b in pairs)
        worst = max(worst, Gap(error, "all"))

    gaps, bounds = {"metrics": worst}, {"metrics": 1e-2}
    for side, rows in squares.items():
        _, theirs, between = np.sqrt(np.mean(rows, 0))
        kind = f"gradients of {side}"
        gaps[kind] = Gap(float(between), "all its arrays")
        # Were the roundings independent, sqrt 2.
        bounds[kind] = 1.5 * float(theirs)
    measured(gaps, bounds)


@ALL
@pytest.mark.parametrize("compute", ["full", "bfloat16"])
def test_products_and_state(name, compute, digits):
    config = replace(CONFIGS[name], compute=compute)
    data = digits(config)
    batch = Stream(config, data).batch(0)
    for side, game in zip(
        (jax_side, torch_side), both_games(config, data), strict=True
    ):
        placed = side.twin.place(batch)
        found = side.matmul_dtypes(lambda g, b=placed: g.step(b), game)
        assert found == {config.compute_dtype}
        game, metrics = game.step(placed)
        state = side.twin.to_numpy(game).values()
        assert {a.dtype.name for a in state} <= {"float32", "int32"}
        assert {np.asarray(m).dtype.name for m in metrics} == {"float32"}


def test_bfloat16_goes_with_float32_only():
    with pytest.raises(InputError, match="float64"):
        Config(compute="bfloat16", precision="float64")


def test_no_trajectory(tmp_path, digits):
    config = _mixed("mlp")
    with pytest.raises(InputError, match="record with compute full"):
        record_recipe(config, digits(config), 1, tmp_path / "t")


def test_many_convolutions_at_once_are_refused(digits):
    config = _mixed("dcgan")
    _, game = both_games(config, digits(config))
    with pytest.raises(InputError, match="one by one"):
        torch_ref.stack_games([game])
