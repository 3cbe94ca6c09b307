"""What the twins draw for themselves, and what the benchmark says of times.

The draws are equal in distribution, not in number. The verdicts on times are
simulated. All seeds are fixed, so these tests either pass or fail, always.
"""

from dataclasses import replace
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax import random
from scipy import stats

import jax_gan
import torch_ref
from benchmarks.statistics import (
    ENOUGH_REPETITIONS,
    FEWEST_REPETITIONS,
    estimate,
    holm,
    judge,
    log_ratios,
    mean_over_repetitions,
    noise_floor,
)
from experiment.recipes import recipe
from experiment.stream import fixed_noise, map_arrays, stack
from jax_gan.sample import sample_batch
from parity_tests.compare import Gap
from parity_tests.small import small_config, small_data
from torch_ref.sample import sample_batch as sample_batch_of_torch

# Less than one correct draw in ten thousand is called wrong.
LEVEL = 1e-4

TWINS = pytest.mark.parametrize(
    "twin", [jax_gan, torch_ref], ids=lambda twin: twin.__name__
)


# Initial weights

DCGAN = recipe(
    "dcgan",
    generator_hidden=(8, 4),
    discriminator_hidden=(4, 8),
    batch_size=2,
    precision="float64",
)
MLP = recipe(
    "mlp",
    generator_hidden=(32, 32),
    discriminator_hidden=(32, 32),
    batch_size=2,
    output_bias="constant",
    precision="float64",
)


@TWINS
@pytest.mark.parametrize("config", [MLP, DCGAN], ids=["mlp", "dcgan"])
@pytest.mark.parametrize("initializer", ["normal", "uniform", "fan-in"])
def test_first_weights_have_their_distribution(
    initializer, config, twin, measured
):
    config = replace(
        config,
        initializer=initializer,
        generator_scale=0.04,
        discriminator_scale=0.03,
    )
    weights = _weights(twin, config)
    distances, bounds = {}, {}
    for name, array in weights.items():
        if "norm" in name or (array == config.bias).all():
            continue
        generator = name.startswith("generator")
        scale = 0.04 if generator else 0.03
        if initializer == "fan-in":
            kernel = weights[name.replace("bias", "kernel")]
            bias = weights.get(name.replace("kernel", "bias"))
            features = kernel.shape[-1] if bias is None else bias.size
            if "upsample" in name:
                features = kernel.shape[-2]
            scale = (kernel.size / features) ** -0.5
        stated = (
            stats.norm(0, scale)
            if initializer == "normal"
            else stats.uniform(-scale, 2 * scale)
        )
        if array.size == 1:  # too few for a test
            assert 0 < stated.cdf(array.item()) < 1
            continue
        found = stats.kstest(array.ravel(), stated.cdf)
        distances[name] = Gap(found.statistic, name)
        bounds[name] = stats.kstwo.isf(LEVEL, array.size)
    measured(distances, bounds)


@TWINS
@pytest.mark.parametrize("initializer", ["normal", "uniform", "fan-in"])
def test_no_two_arrays_share_random_numbers(initializer, twin):
    """Neither layers, nor the players, nor seeds; hidden_1 is 32x32 in all."""
    config = replace(MLP, initializer=initializer)
    drawn = {
        f"{seed}/{name}": array
        for seed in (0, 1)
        for name, array in _weights(twin, replace(config, seed=seed)).items()
        if array.size >= 1024
    }
    assert len(drawn) == 10
    for (a, one), (b, other) in combinations(drawn.items(), 2):
        for cut in (slice(1024), slice(-1024, None)):
            pair = one.ravel()[cut], other.ravel()[cut]
            found = stats.pearsonr(*pair)
            assert found.pvalue > LEVEL, f"{a} and {b}: {found}"


def _weights(twin, config):
    twin.select_device("cpu", config)
    state = twin.to_numpy(twin.create(config, small_data()))
    return {name: v for name, v in state.items() if "/params/" in name}


# Batches drawn on the device

BATCHES = 200
CONFIG = small_config(k=2, keep_input=0.8, keep_hidden=0.5)
# Fifty images of one grey each: a pixel says which image it is from.
GREYS = np.broadcast_to(np.arange(50.0)[:, None, None, None], (50, 28, 28, 1))


@TWINS
@pytest.mark.parametrize("noise", ["uniform", "normal"])
def test_noise(noise, twin):
    """Distribution, and no two draws the same."""
    config = replace(CONFIG, noise=noise, noise_scale=1.7)
    batches = _batches(twin, config)
    z = [batches.discriminator.z[:, i] for i in (0, 1)] + [batches.generator.z]
    stated = {"uniform": stats.uniform(-1.7, 3.4), "normal": stats.norm(0, 1.7)}
    for drawn in z:
        assert drawn.size == BATCHES * 8 * 5
        found = stats.kstest(drawn.ravel(), stated[noise].cdf)
        assert found.pvalue > LEVEL, found
    for pair in combinations(z, 2):
        assert stats.pearsonr(*map(np.ravel, pair)).pvalue > LEVEL


@TWINS
def test_dropout_share(twin):
    """Units kept by 0.8 and 0.5, scaled to a mean of 1, each on its own."""
    batches = _batches(twin, CONFIG)
    masks = [
        {k: v[:, i] for k, v in side.items()}
        for side in (
            batches.discriminator.real_masks,
            batches.discriminator.fake_masks,
        )
        for i in (0, 1)
    ] + [batches.generator.masks]
    for mask in masks:
        for name, array in mask.items():
            keep = 0.8 if name == "input" else 0.5
            assert set(np.unique(array)) == {0, 1 / keep}
            kept = int((array > 0).sum())
            found = stats.binomtest(kept, array.size, keep)
            assert found.pvalue > LEVEL, f"{name}: {kept / array.size}"
    layers = [m[f"hidden_{i}"].ravel() for m in masks for i in (0, 1)]
    for pair in combinations(layers, 2):
        assert stats.pearsonr(*pair).pvalue > LEVEL


@TWINS
def test_images_are_drawn_uniformly(twin):
    """Every image as often as another, in both of the k minibatches."""
    x = _batches(twin, CONFIG).discriminator.x[..., 0, 0, 0]
    for i in (0, 1):
        counts = np.bincount(x[:, i].ravel().astype(int), minlength=len(GREYS))
        assert counts.sum() == BATCHES * 8
        assert stats.chisquare(counts).pvalue > LEVEL, counts
    assert stats.pearsonr(x[:, 0].ravel(), x[:, 1].ravel()).pvalue > LEVEL


def _batches(twin, config):
    """Many batches of a twin's own, as ``device_stream`` seeds them."""
    twin.select_device("cpu", config)
    if twin is jax_gan:
        key = random.key(0, impl="rbg")
        data = jnp.array(GREYS)
        draw = jax.jit(lambda key: sample_batch(config, data, key))
        drawn = [draw(random.fold_in(key, i)) for i in range(BATCHES)]
    else:
        rng, data = torch.Generator(), torch.tensor(GREYS)
        drawn = [
            sample_batch_of_torch(config, data, rng.manual_seed(i))
            for i in range(BATCHES)
        ]
    return stack([map_arrays(np.asarray, batch) for batch in drawn])


# Whole games, each twin with its own random numbers

# Early, where a game's course still depends on its rate more than on its seed;
# a minibatch of 128 and 64 units spread less over seeds than 32 and 32.
GAME = recipe(
    "mlp",
    generator_hidden=(64,),
    discriminator_hidden=(64,),
    batch_size=128,
    noise_size=16,
    steps=150,
    precision="float64",
)
SEEDS = range(12)
# 3.4 standard errors of a difference of two means of twelve, from the
# standard deviations measured over 36 seeds (.030 .020 .0017 .0016): equal
# twins pass each two one-sided tests of level 5 % nine times in ten.
MARGINS = {
    "discriminator_loss": 0.043,
    "generator_loss": 0.028,
    "pixel_mean": 0.0024,
    "pixel_deviation": 0.0022,
}
# Each moves the pixel mean by more than its margin: .0091, .0032 and .0060,
# from 36 seeds.
SHIFTS = {
    "b1": {"b1": 0.9},
    "rate": {"learning_rate": 1.1 * GAME.learning_rate},
    "scale": {"generator_scale": 0.1, "discriminator_scale": 0.1},
}


@pytest.fixture(scope="module")
def of_jax(digits):
    return _games(jax_gan, GAME, digits(GAME))


@pytest.mark.slow
def test_games_are_equivalent(of_jax, digits, measured):
    """Two one-sided tests each: 90 % intervals lie within the margins."""
    of_torch = _games(torch_ref, GAME, digits(GAME))
    measured(_farthest(of_jax, of_torch), MARGINS)


@pytest.mark.slow
@pytest.mark.parametrize("shift", SHIFTS)
def test_shifted_games_are_not(shift, of_jax, digits):
    config = replace(GAME, **SHIFTS[shift])
    shifted = _games(torch_ref, config, digits(config))
    found = _farthest(of_jax, shifted)["pixel_mean"]
    assert found.error > MARGINS["pixel_mean"]


def _games(twin, config, data):
    """What is measured of each seed's game, (12,) by name."""
    twin.select_device("cpu", config)
    rows = []
    for seed in SEEDS:
        seeded = replace(config, seed=seed)
        game = twin.create(seeded, data)
        run = twin.device_stream(seeded, data)
        game, metrics = run(game, 0, config.steps)
        images = twin.sample_images(game, fixed_noise(seeded, 1024))
        losses = metrics.discriminator_loss, metrics.generator_loss
        means = [np.asarray(loss)[-100:].mean() for loss in losses]
        rows.append([*means, images.mean(), images.std()])
    measured = np.array(rows)
    assert np.isfinite(measured).all()
    return dict(zip(MARGINS, measured.T, strict=True))


def _farthest(ours, theirs):
    """How far from 0 the 90 % intervals of the differences reach."""
    found = {}
    for name in MARGINS:
        test = stats.ttest_ind(ours[name], theirs[name], equal_var=False)
        ends = test.confidence_interval(0.9)
        found[name] = Gap(float(np.abs(ends).max()), name)
    return found


# Verdicts on times

TABLES, ROUNDS = 4000, 10
PROCESS, BLOCK = 0.027, 0.005  # measured standard deviations of logarithms
# The table of --variants headline and torch compile.
TABLE = {
    "jax scan": 1.0,
    "torch eager": 1.0,
    "jax scan again": 1.0,
    "torch eager again": 1.0,
    "torch compile": 1.4,
}


def _times(rng, ratio, repetitions=ENOUGH_REPETITIONS):
    """Simulated tables, JAX faster by a ratio: every block of each variant.

    A repetition has an offset of its machine, which slows down by a tenth
    meanwhile, and one of each process; some blocks take twice as long.
    """
    shape = TABLES, repetitions
    machine = rng.normal(0, 0.05, (*shape, 1)) + np.linspace(0, 0.1, ROUNDS)
    times = {}
    for name, factor in TABLE.items():
        process = rng.normal(0, PROCESS, (*shape, 1))
        blocks = rng.normal(0, BLOCK, (*shape, ROUNDS))
        hiccups = np.log(2) * (rng.random((*shape, ROUNDS)) < 0.05)
        times[name] = factor * np.exp(machine + process + blocks + hiccups)
        if name.startswith("jax"):
            times[name] /= ratio
    return [{k: v[i] for k, v in times.items()} for i in range(TABLES)]


def _claims(tables):
    """The claim on JAX's best variant in each table."""
    return [
        judge(times, "torch eager", noise_floor(times))["jax scan"]
        for times in tables
    ]


@pytest.mark.parametrize("ratio", [1.0, 1.05])
def test_verdicts_on_times(ratio):
    """Of five repetitions: intervals cover, equals tie, 5 % are detected."""
    claims = _claims(_times(np.random.default_rng(0), ratio))
    ratios = [claim.ratio for claim in claims]
    assert _share(low <= ratio <= high for _, low, high in ratios) >= 0.93
    verdicts = [claim.verdict for claim in claims]
    if ratio == 1:
        assert verdicts.count("tie") >= 0.95 * TABLES
    else:
        assert verdicts.count("faster") >= 0.8 * TABLES
        assert "slower" not in verdicts


def test_intervals_of_the_fewest_repetitions_cover_too():
    claims = _claims(_times(np.random.default_rng(0), 1.0, FEWEST_REPETITIONS))
    ratios = [claim.ratio for claim in claims]
    assert _share(low <= 1 <= high for _, low, high in ratios) >= 0.93
    assert [claim.verdict for claim in claims].count("tie") >= 0.95 * TABLES


def test_interval_of_a_time_covers():
    tables = _times(np.random.default_rng(0), 1.0)
    found = [estimate(times["torch eager"]) for times in tables]
    # Halfway through the drift of a repetition.
    true = np.exp(0.05)
    assert _share(low <= true <= high for _, low, high in found) >= 0.93


def _share(found):
    return np.mean(list(found))


def test_interval_is_students():
    """The hours of sleep of his paper: 10 patients, two drugs."""
    hours = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    found, p = mean_over_repetitions(hours)
    assert found == pytest.approx((1.58, 0.70, 2.46), abs=5e-3)
    assert p == pytest.approx(0.0028, abs=5e-5)
    assert mean_over_repetitions(np.ones(5)) == ((1, 1, 1), 0)
    assert mean_over_repetitions(np.zeros(5)) == ((0, 0, 0), 1)


def test_a_drift_and_a_hiccup_fall_on_a_round():
    """The two medians are of different rounds; their ratio is of one."""
    drift = np.array([[1.0, 2.0, 4.0, 8.0, 16.0]])
    hiccup = np.array([[100.0, 1.0, 1.0, 1.0, 1.0]])
    found = log_ratios([drift * hiccup], [1.1 * drift])
    assert found == pytest.approx([np.log(1.1)])


def _judged(logs, duplicate=0.0, variants=1):
    """The verdict on variants with these log-ratios in each repetition."""
    faster, even = np.exp(-np.array([logs])).T, np.ones((len(logs), 1))
    names = ("jax scan", "jax step", "jax device", "torch compile")
    times = dict.fromkeys(names[:variants], faster) | {
        "torch eager": even,
        "torch eager again": even,
    }
    floor = noise_floor(times | {"torch eager again": np.exp(duplicate) * even})
    return {c.verdict for c in judge(times, "torch eager", floor).values()}


LOGS = 0.04 + 0.02 * np.array([-1.0, -0.5, 0.0, 0.5, 1.0])


def test_a_verdict_has_a_sign():
    assert _judged(LOGS) == {"faster"}
    assert _judged(-LOGS) == {"slower"}


def test_a_difference_within_the_noise_floor_is_a_tie():
    assert _judged(LOGS, duplicate=0.03) == {"faster"}
    assert _judged(LOGS, duplicate=0.05) == {"tie"}
    assert _judged(LOGS, duplicate=-0.05) == {"tie"}


def test_many_claims_need_more():
    """At a p of .04: one claim is made, and not one of many."""
    wide = LOGS.mean() + 1.9 * (LOGS - LOGS.mean())
    assert 0.02 < mean_over_repetitions(wide)[1] < 0.05
    assert _judged(wide) == {"faster"}
    assert _judged(wide, variants=4) == {"tie"}


def test_holm():
    assert holm([0.02, 0.02, 0.02]) == pytest.approx([0.06] * 3)
    assert holm([0.5, 0.001]) == pytest.approx([0.5, 0.002])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
