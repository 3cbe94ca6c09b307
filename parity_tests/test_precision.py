"""JAX's precision is the user's: a run needs no switch that it would flip."""

import jax
import numpy as np
import pytest

import jax_gan
from experiment.architecture import architecture
from experiment.stream import Stream
from jax_gan.sample import sample_batch
from parity_tests.compare import gap
from parity_tests.small import small_config, small_data

CONFIG = small_config(precision="float32", loss="saturating", k=2)


def _run(config):
    data = small_data().astype(np.float32)
    device = jax_gan.select_device("cpu", config)
    game = jax_gan.create(config, data, device)
    batches = Stream(config, data).batches(0, 3)
    game, _ = jax_gan.train(game, jax_gan.place(batches, device))
    return jax_gan.to_numpy(game)


@pytest.mark.parametrize("optimizer", ["adam", "classical-momentum"])
def test_a_float32_run_under_x64(optimizer):
    config = small_config(precision="float32", optimizer=optimizer, decay=0.99)
    without = _run(config)
    jax.config.update("jax_enable_x64", True)
    found = gap(_run(config), without)  # of the same types, too
    assert jax.config.read("jax_enable_x64")
    assert found.error < 1e-6


def test_batches_drawn_under_x64():
    data = jax.numpy.asarray(small_data(), "float32")
    key = jax.random.key(0, impl="rbg")
    without = sample_batch(CONFIG, data, key)
    jax.config.update("jax_enable_x64", True)
    drawn = sample_batch(CONFIG, data, key)
    for ours, theirs in zip(
        *map(jax.tree.leaves, (drawn, without)), strict=True
    ):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_networks_know_what_makes_them_alone():
    game = jax_gan.create(CONFIG, small_data().astype(np.float32))
    assert game.generator.network.config == architecture(CONFIG)
    assert not hasattr(game.generator.network.config, "loss")
