"""Every faster form of a run, against the plain step of its own framework."""

import shutil
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax import random

import jax_gan
import torch_ref
from experiment.stream import Stream
from jax_gan.sample import sample_batch
from parity_tests.compare import gap
from parity_tests.faults.paper import PAPER
from parity_tests.small import small_config, small_data
from torch_ref.sample import sample_batch as sample_batch_of_torch

STEPS = 10
TOLERANCE = 1e-12
DATA = small_data()
CONFIGS = {
    "mlp": small_config(k=2, keep_input=0.8),
    "dcgan": small_config(
        network="dcgan",
        generator_hidden=(8, 4),
        discriminator_hidden=(4, 8),
        keep_hidden=1.0,
        output_bias="constant",
    ),
    "paper": small_config(**PAPER),
}
GAMES = pytest.mark.parametrize("name", CONFIGS)
TWINS = pytest.mark.parametrize(
    "twin", [jax_gan, torch_ref], ids=lambda twin: twin.__name__
)


@GAMES
@TWINS
def test_train_is_train_step_repeated(twin, name, measured):
    """In JAX: the scan with donated buffers, against one jitted step."""
    config, game = _created(twin, name)
    stream = Stream(config, DATA)
    batches = map(stream.batch, range(STEPS))
    expected = _step_by_step(twin, game, map(twin.place, batches))

    _, again = _created(twin, name)
    batches = twin.place(stream.batches(0, STEPS))
    found = gap(_arrays(twin, *twin.train(again, batches)), expected)
    measured({"train": found}, TOLERANCE)


def test_train_donates():
    """The state of a run lies in memory once, not twice."""
    config, game = _created(jax_gan, "mlp")
    batches = jax_gan.place(Stream(config, DATA).batches(0, 2))
    jax_gan.train(game, batches)
    kernel = game.generator.params["hidden_0"]["kernel"]
    assert kernel.is_deleted()


@GAMES
def test_device_stream_of_jax(name, measured):
    config, game = _created(jax_gan, name)
    data, key = jnp.array(DATA), random.key(config.seed, impl="rbg")
    keys = [random.fold_in(key, 3 + i) for i in range(STEPS)]
    draw = jax.jit(lambda key: sample_batch(config, data, key))
    expected = _step_by_step(jax_gan, game, map(draw, keys))

    _, again = _created(jax_gan, name)
    run = jax_gan.device_stream(config, DATA)
    found = gap(_arrays(jax_gan, *run(again, 3, STEPS)), expected)
    measured({"device_stream": found}, TOLERANCE)


@GAMES
def test_device_stream_of_torch(name, measured):
    config, game = _created(torch_ref, name)
    data, rng = torch.tensor(DATA), torch.Generator()

    def draw(step):
        rng.manual_seed((config.seed * 0x9E3779B1 + step) % 2**32)
        return sample_batch_of_torch(config, data, rng)

    expected = _step_by_step(torch_ref, game, map(draw, range(3, 3 + STEPS)))
    _, again = _created(torch_ref, name)
    run = torch_ref.device_stream(config, DATA)
    found = gap(_arrays(torch_ref, *run(again, 3, STEPS)), expected)
    measured({"device_stream": found}, 0)


@GAMES
def test_vmap_over_seeds(name, measured):
    """Two games in one program, each as it is alone."""
    config, first = _created(jax_gan, name)
    _, other = _created(jax_gan, name, seed=1)
    # Only one game's static fields: optimizers are compared by identity.
    second = jax_gan.from_numpy(first, jax_gan.to_numpy(other))
    games, stream = [first, second], Stream(config, DATA)
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *games)
    step = jax.jit(jax.vmap(type(first).step))
    for number in range(STEPS):
        batches = [stream.batch(2 * number + i) for i in range(2)]
        batches = list(map(jax_gan.place, batches))
        pairs = zip(games, batches, strict=True)
        steps = [game.step(batch) for game, batch in pairs]
        games = [game for game, _ in steps]
        together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *batches)
        stacked, metrics = step(stacked, together)

    def nth(i, tree):
        return jax.tree.map(lambda leaf: leaf[i], tree)

    found = max(
        gap(
            _arrays(jax_gan, nth(i, stacked), nth(i, metrics)),
            _arrays(jax_gan, *steps[i]),
        )
        for i in range(2)
    )
    measured({"vmap": found}, TOLERANCE)
    assert gap(*map(jax_gan.to_numpy, games)).error > 1e-3


@pytest.mark.slow
@pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))),
    reason="torch.compile writes C++ and finds no compiler",
)
@GAMES
def test_torch_compile(name, measured):
    config, game = _created(torch_ref, name)
    stream = Stream(config, DATA)
    batches = [torch_ref.place(stream.batch(i)) for i in range(STEPS)]
    expected = _step_by_step(torch_ref, game, batches)

    _, again = _created(torch_ref, name)
    compiled = torch.compile(game.updates)
    found = gap(_step_by_step(torch_ref, again, batches, compiled), expected)
    measured({"compiled": found}, TOLERANCE)


def _created(twin, name, **changes):
    config = replace(CONFIGS[name], **changes)
    twin.select_device("cpu", config)
    return config, twin.create(config, DATA)


def _step_by_step(twin, game, batches, step=None):
    step, rows = step or type(game).step, []
    for batch in batches:
        game, metrics = step(game, batch)
        rows.append([np.asarray(value) for value in metrics])
    columns = map(np.stack, zip(*rows, strict=True))
    return _arrays(twin, game, type(metrics)(*columns))


def _arrays(twin, game, metrics):
    """All that a run leaves behind."""
    history = {k: np.asarray(v) for k, v in metrics._asdict().items()}
    return twin.to_numpy(game) | history
