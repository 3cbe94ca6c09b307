"""Test level: the forward pass of both networks, training and evaluation."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import jax_gan
import torch_ref
from experiment.recipes import RECIPES, recipe
from experiment.stream import Stream, fixed_noise
from parity_tests.compare import gap
from parity_tests.pair import both_games, worst_gaps
from parity_tests.twin_torch import TorchTwin

TOLERANCE = 1e-13
# The largest takes half a minute.
RECIPE = pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.slow if n == "dcgan64" else ())
        for n in RECIPES
    ],
)


@RECIPE
def test_training_mode(name, digits, measured):
    dropout = {"keep_input": 0.8, "keep_hidden": 0.5}
    config = recipe(
        name,
        batch_size=16,
        precision="float64",
        **({} if RECIPES[name].network == "dcgan" else dropout),
    )
    data = digits(config)
    ours, theirs = both_games(config, data)
    batch = Stream(replace(config, updates="alternating"), data).batch(0)
    for_jax = jax_gan.place(batch.generator)
    for_torch = torch_ref.place(batch.generator)

    fake, _ = ours.generator(for_jax.z)
    logits, _ = ours.discriminator(fake, for_jax.masks)
    with torch.no_grad():
        their_fake = theirs.generator(for_torch.z)
        their_logits = theirs.discriminator(their_fake, for_torch.masks)

    found = gap(
        {"G(z)": np.array(fake), "logits": np.array(logits)},
        {"G(z)": their_fake.numpy(), "logits": their_logits.numpy()},
    )
    measured({"forward": found}, TOLERANCE)


@RECIPE
def test_evaluation_mode(name, digits, measured):
    config = recipe(name, batch_size=16, precision="float64")
    # After a step running statistics are not zero and one.
    found = worst_gaps(config, digits(config), 1, at=())
    measured({"forward": found["evaluation"]}, TOLERANCE)


def test_evaluation_leaves_statistics(digits):
    config = recipe("dcgan", batch_size=4, precision="float64")
    data = digits(config)
    side = TorchTwin(config, data)
    before = torch_ref.to_numpy(side.game)
    side.evaluate(fixed_noise(config, 32), data[:32])
    assert gap(before, torch_ref.to_numpy(side.game)).error == 0
    assert side.game.generator.network.training
