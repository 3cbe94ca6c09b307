"""Test level: the forward pass of both networks, training and evaluation."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import jax_gan
import torch_ref
from experiment.recipes import RECIPES, recipe
from experiment.stream import Stream
from parity_tests.compare import gap
from parity_tests.pair import Pair

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
    pair = Pair(config, digits(config))
    batch = Stream(replace(config, updates="alternating"), pair.data).batch(0)
    for_jax = jax_gan.place(batch.generator)
    for_torch = torch_ref.place(batch.generator)

    fake, _ = pair.ours.generator(for_jax.z)
    logits, _ = pair.ours.discriminator(fake, for_jax.masks)
    with torch.no_grad():
        their_fake = pair.theirs.generator(for_torch.z)
        their_logits = pair.theirs.discriminator(their_fake, for_torch.masks)

    found = gap(
        {"G(z)": np.array(fake), "logits": np.array(logits)},
        {"G(z)": their_fake.numpy(), "logits": their_logits.numpy()},
    )
    measured({"forward": found}, TOLERANCE)


@RECIPE
def test_evaluation_mode(name, digits, measured):
    config = recipe(name, batch_size=16, precision="float64")
    pair = Pair(config, digits(config))
    pair.step(0)  # so that running statistics are not zero and one
    found = pair.evaluation()
    measured({"forward": found}, TOLERANCE)


def test_evaluation_leaves_statistics(digits):
    config = recipe("dcgan", batch_size=4, precision="float64")
    pair = Pair(config, digits(config))
    before = torch_ref.to_numpy(pair.theirs)
    pair.evaluation()
    assert gap(before, torch_ref.to_numpy(pair.theirs)).error == 0
    assert pair.theirs.generator.network.training
