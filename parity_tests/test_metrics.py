"""Metrics of samples, where the answer is known."""

import json
import warnings

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.special import logsumexp
from scipy.stats import gaussian_kde, multivariate_normal
from sklearn.neighbors import KernelDensity

from experiment import parzen
from experiment.classifier import WEIGHTS, classify
from experiment.data import load_splits
from experiment.evaluate import kmeans_centroids, score
from experiment.metrics import (
    frechet_distance,
    mode_coverage,
    nearest,
    precision_recall,
)
from experiment.scores import Scores, score_rows


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# Parzen window


@pytest.mark.parametrize("sigma", [0.1, 0.5, 2.0])
def test_parzen_is_kernel_density(sigma, rng):
    x, samples = rng.random((30, 7)), rng.random((50, 7))
    (ours,) = parzen.log_likelihood(x, samples, [sigma])
    theirs = KernelDensity(bandwidth=sigma, rtol=0, atol=0).fit(samples)
    np.testing.assert_allclose(ours, theirs.score_samples(x), atol=1e-10)
    # gaussian_kde's kernel has the samples' covariance: whiten first.
    whiten = np.linalg.cholesky(np.linalg.inv(np.cov(samples.T)))
    x, samples = x @ whiten, samples @ whiten
    (ours,) = parzen.log_likelihood(x, samples, [sigma])
    density = gaussian_kde(samples.T, bw_method=sigma)
    np.testing.assert_allclose(ours, density.logpdf(x.T), atol=1e-10)


def test_parzen_of_digits_by_definition():
    """784 pixels: every density itself is far below the smallest number."""
    splits = load_splits()
    x, samples = splits.test.images[:20], splits.train.images[:200]
    (ours,) = parzen.log_likelihood(x, samples, [0.2])
    gaps = (x[:, None].astype(float) - samples).reshape(20, 200, 784)
    logs = -(gaps**2).sum(2) / (2 * 0.2**2) - 392 * np.log(2 * np.pi * 0.2**2)
    expected = logsumexp(logs, axis=1) - np.log(200)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


def test_parzen_in_blocks(rng, monkeypatch):
    x, samples = rng.random((500, 3)), rng.random((2_000, 3))
    whole = parzen.log_likelihood(x, samples, [0.1, 1.0])
    monkeypatch.setattr(parzen, "_MEMORY", 0.1)  # six rows at a time
    parts = parzen.log_likelihood(x, samples, [0.1, 1.0])
    assert parts.shape == (2, 500)
    np.testing.assert_allclose(parts, whole, rtol=1e-12)


def test_parzen_sigma_is_the_best_on_validation(rng):
    """Samples at standard deviation .4 of one point: sigma is near it."""
    samples = np.zeros((1, 50))
    validation, test = rng.normal(0, 0.4, (2, 300, 50))
    found = parzen.estimate(samples, validation, test)
    assert found.sigma == pytest.approx(0.4, rel=0.2)
    logs = multivariate_normal(np.zeros(50), found.sigma**2).logpdf(test)
    assert found.mean == pytest.approx(logs.mean(), rel=1e-12)
    assert found.standard_error == pytest.approx(logs.std(ddof=1) / 300**0.5)


@pytest.mark.parametrize("deviation", [0.01, 5.0])
def test_parzen_warns_on_the_edge(deviation, rng):
    validation, test = rng.normal(0, deviation, (2, 50, 4))
    with pytest.warns(UserWarning, match="edge of the grid"):
        parzen.estimate(np.zeros((1, 4)), validation, test)


def test_parzen_does_not_warn_within_the_grid(rng):
    validation, test = rng.normal(0, 0.4, (2, 50, 4))
    with warnings.catch_warnings(action="error"):
        parzen.estimate(np.zeros((1, 4)), validation, test)


# Fréchet distance


def _gaussian(rng, mean, covariance, n=50):
    """A sample whose own mean and covariance are exactly those given."""
    x = rng.standard_normal((n, len(mean)))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return mean + x @ np.linalg.cholesky(covariance).T


def test_frechet_distance_in_closed_form(rng):
    """Diagonal: |mean difference|^2 + sum of squared differences of sd."""
    a = _gaussian(rng, [0, 0, 0], np.diag([1.0, 4.0, 9.0]))
    b = _gaussian(rng, [1, 2, 0], np.diag([4.0, 4.0, 1.0]))
    assert frechet_distance(a, b) == pytest.approx(5 + 1 + 0 + 4, rel=1e-12)
    assert frechet_distance(b, a) == pytest.approx(10, rel=1e-12)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-12)


def test_frechet_distance_by_matrix_roots(rng):
    a = rng.standard_normal((40, 6)) @ rng.standard_normal((6, 6))
    b = rng.standard_normal((30, 6)) @ rng.standard_normal((6, 6))
    A, B = np.cov(a.T), np.cov(b.T)
    trace = np.trace(A + B - 2 * sqrtm(A @ B)).real
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + trace
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)


def test_frechet_distance_of_features_that_never_vary(rng):
    a, b = rng.standard_normal((2, 50, 3))
    expected = frechet_distance(a, b)
    a, b = (np.hstack([x, np.zeros((50, 2))]) for x in (a, b))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-12)


# Digits, precision and recall, neighbours


def test_mode_coverage():
    data = np.repeat(np.arange(10), 7)
    assert mode_coverage(data, data) == (10, 0, 0.1)
    ones = mode_coverage(np.full(5, 1), data)
    assert ones == (1, pytest.approx(np.log(10)), 1)
    half = mode_coverage(np.array([3, 4, 4, 3]), data)
    assert half == (2, pytest.approx(np.log(5)), 0.5)


def test_precision_recall(rng):
    left, right = rng.random((2, 200, 4)) * 0.5 + [[[0]], [[100]]]
    both = np.concatenate([left, right])
    assert precision_recall(left, right) == (0, 0)
    assert precision_recall(left, left) == (1, 1)
    # Half of the data: all samples are right, half of the data is missed.
    precision, recall = precision_recall(left[::2], both)
    assert precision == 1
    assert recall == pytest.approx(0.5, abs=0.05)
    # Data and as many again that is not: the other way round.
    precision, recall = precision_recall(both, left)
    assert precision == 0.5
    assert recall == 1


def test_radius_is_that_of_the_third_neighbour():
    data = np.array([[0.0], [1.0], [2.0], [3.0], [100.0]])
    inside, outside = np.array([[5.9]]), np.array([[6.1]])  # 3 + 3
    assert precision_recall(np.repeat(inside, 5, 0), data[:4]).precision == 1
    assert precision_recall(np.repeat(outside, 5, 0), data[:4]).precision == 0


def test_nearest():
    images = load_splits().train.images
    found = nearest(images[[5, 9]] * 0.9, images)
    np.testing.assert_array_equal(found, images[[5, 9]])


# The judge on real digits


def test_classifier_on_digits_it_has_not_seen():
    """The embedded digits are of MNIST's first 6,000; it saw the rest."""
    parts = load_splits()[1:]
    right = [classify(p.images).digits == p.labels for p in parts]
    assert np.concatenate(right).mean() >= 0.985


def test_classifier_is_small_and_states_its_accuracy():
    assert WEIGHTS.stat().st_size < 2e6
    stated = json.loads(WEIGHTS.with_suffix(".json").read_text())
    assert stated["test_accuracy"] >= 0.985
    assert WEIGHTS.read_bytes().count(b'"test_accuracy"') == 1


def test_parts_are_the_embedded_digits():
    train, validation, test = load_splits()[1:]
    assert [len(p.labels) for p in (train, validation, test)] == [
        2_500,
        500,
        2_000,
    ]
    images = np.concatenate([p.images for p in (train, validation, test)])
    assert len(np.unique(images.reshape(5_000, -1), axis=0)) == 5_000


def test_scores_tell_digits_from_noise(rng):
    splits = load_splits()
    real = score(splits.train.images[:500], splits)
    centroids = score(kmeans_centroids(splits.train.images, 300), splits)
    noise = score(rng.random((500, 28, 28, 1)), splits)
    for scores in (real, centroids, noise):
        numbers = [float(value) for value in scores]
        assert np.isfinite(numbers).all()
    assert real.frechet_distance < centroids.frechet_distance
    assert centroids.frechet_distance < noise.frechet_distance / 10
    assert real.log_likelihood > noise.log_likelihood + 100
    assert real.confidence > 0.95
    assert min(real.precision, real.recall) > 0.6
    assert real.digits == 10
    assert noise.recall == 0
    header, *rows = score_rows({"real": real, "noise": noise})
    assert header == ["", "real", "noise"]
    assert all(len(row) == 3 for row in rows)
    assert len(rows) >= len(Scores._fields) - 2
