"""Test level: where the game ends, by the paper's theory, in one dimension.

For a fixed G the best D is p_data / (p_data + p_g) (Proposition 1); with it
V = -log 4 + 2 JSD(p_data, p_g), which is least, -log 4, where p_g is p_data
(Theorem 1). Here p_data is a normal density, p_g a histogram of a million
samples. Each twin runs alone, in float32. G maps a bounded z by a piecewise
linear map, so p_g is a staircase that ends at two standard deviations; D is
smooth and does not follow its steps. That, and the noise of minibatches, is
what remains.
"""

import numpy as np
import pytest
from scipy.stats import norm

import jax_gan
import torch_ref
from experiment.data import GAUSSIAN_DEVIATION, GAUSSIAN_MEAN, load
from experiment.recipes import recipe
from experiment.stream import Stream, fixed_noise
from parity_tests.compare import Gap

pytestmark = pytest.mark.slow

SAMPLES = 1_000_000
BOUNDS = {
    "D from 1/2": 0.02,  # the most, within two sd of the data's mean
    "D from the best": 0.08,  # the mean over p_data, there
    "V from -log 4": 0.005,
    "JSD": 0.04,
    "mean": 0.05,  # in standard deviations of the data
    "deviation": 0.05,
}


@pytest.mark.parametrize(
    "twin", [jax_gan, torch_ref], ids=lambda twin: twin.__name__
)
def test_ends_where_the_theory_says(twin, measured):
    config = recipe("figure1")
    data = load(config)
    device = twin.select_device("cpu", config)
    game, stream = twin.create(config, data, device), Stream(config, data)
    chunk = 2_000
    for first in range(0, config.steps, chunk):
        batches = twin.place(stream.batches(first, chunk), device)
        game, _ = twin.train(game, batches)

    samples = twin.sample_images(game, fixed_noise(config, SAMPLES))
    mean, deviation = GAUSSIAN_MEAN, GAUSSIAN_DEVIATION
    bins = np.linspace(mean - 5 * deviation, mean + 5 * deviation, 41)
    width = bins[1] - bins[0]
    centres = ((bins[:-1] + bins[1:]) / 2)[:, np.newaxis]
    p_data = norm(mean, deviation).pdf(centres[:, 0])
    p_g = np.histogram(samples, bins)[0] / (SAMPLES * width)
    D = twin.discriminate(game, centres.astype(config.dtype)).astype(float)

    best = p_data / (p_data + p_g)
    dense = np.abs(centres[:, 0] - mean) < 2 * deviation
    value = np.sum(p_data * np.log(D) + p_g * np.log1p(-D)) * width
    middle = (p_data + p_g) / 2
    divergence = sum(
        np.sum(p * np.log(p / middle, out=np.zeros_like(p), where=p > 0))
        for p in (p_data, p_g)
    )
    found = {
        "D from 1/2": np.abs(D - 0.5)[dense].max(),
        "D from the best": np.sum((p_data * np.abs(D - best))[dense]) * width,
        "V from -log 4": abs(value + np.log(4)),
        "JSD": divergence * width / 2,
        "mean": abs(samples.mean() - mean) / deviation,
        "deviation": abs(samples.std() / deviation - 1),
    }
    assert np.isfinite(list(found.values())).all()
    measured(
        {k: Gap(float(v), twin.__name__) for k, v in found.items()}, BOUNDS
    )
