"""How good samples are, by the features and digits a classifier gives them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr
from sklearn.metrics import (
    pairwise_distances_argmin_min,
    pairwise_distances_chunked,
)
from sklearn.neighbors import NearestNeighbors

from experiment.pixels import Data

# Memory for one block of distances, in MiB.
_MEMORY = 16
_MOST_NUMBERS = 2**26  # of the examples that are compared at a time


def frechet_distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """The distance of two sets of features, each taken as one Gaussian.

    |mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)) with covariances A and B
    (Heusel et al. 2017; there the features are Inception's). It is biased
    upwards in small sets: compare sets of equal sizes only.

    Args:
        a: features, (n, d).
        b: features, (m, d).
    """
    # With A = R'R and B = S'S the trace of (A B)^(1/2) is the sum of the
    # singular values of R S': no root of a matrix, whatever its rank.
    R, S = _root_covariance(a), _root_covariance(b)
    between = np.sum((a.mean(0) - b.mean(0)) ** 2)
    within = np.sum(R**2) + np.sum(S**2) - 2 * np.linalg.norm(R @ S.T, "nuc")
    return float(between + within)


def _root_covariance(features: NDArray[np.floating]) -> NDArray[np.floating]:
    """The R of a covariance R'R."""
    centred = features - features.mean(0)
    return np.linalg.qr(centred, mode="r") / np.sqrt(len(features) - 1)


class Coverage(NamedTuple):
    """Which digits samples show.

    Attributes:
        digits: how many of the ten appear at all.
        kl: KL(samples || data) of their histograms, in nats; 0 if equal.
        largest_share: of the most frequent digit, .1 to 1.
    """

    digits: int
    kl: float
    largest_share: float


def mode_coverage(
    digits: NDArray[np.integer], of_data: NDArray[np.integer]
) -> Coverage:
    """Counts the digits of samples, (n,), against those of data, (m,).

    Example:
        >>> mode_coverage(np.array([1, 1, 1, 7]), np.arange(10)).digits
        2
    """
    p, q = (
        np.bincount(values, minlength=10) / len(values)
        for values in (digits, of_data)
    )
    return Coverage(
        int(np.count_nonzero(p)), float(rel_entr(p, q).sum()), float(p.max())
    )


class PrecisionRecall(NamedTuple):
    """Share of samples within the data, and of data within the samples."""

    precision: float
    recall: float


def precision_recall(
    samples: NDArray[np.floating], data: NDArray[np.floating], k: int = 3
) -> PrecisionRecall:
    """Precision and recall of features (Kynkäänniemi et al. 2019).

    A set's manifold is the union of balls around its points, each reaching
    to the point's k-th nearest neighbour. Precision is the share of samples
    (n, d) in the data's manifold, recall the share of data (m, d) in that of
    the samples.
    """
    return PrecisionRecall(
        _share_within(samples, data, k), _share_within(data, samples, k)
    )


def _share_within(
    points: NDArray[np.floating], manifold: NDArray[np.floating], k: int
) -> float:
    neighbours = NearestNeighbors(n_neighbors=k).fit(manifold)
    radii = neighbours.kneighbors()[0][:, -1]  # a point is not its own
    blocks = pairwise_distances_chunked(
        points,
        manifold,
        working_memory=_MEMORY,
        reduce_func=lambda distances, _: (distances <= radii).any(1),
    )
    return float(np.concatenate([*blocks]).mean())


def nearest(images: NDArray[np.floating], data: Data) -> NDArray[np.floating]:
    """The nearest example of ``data`` to each image, by pixels."""
    flat = images.reshape(len(images), -1)
    least = np.full(len(images), np.inf)
    chosen = np.zeros(len(images), np.int64)
    count = max(1, _MOST_NUMBERS // flat.shape[1])
    for first in range(0, len(data), count):
        some = data[first : first + count].reshape(-1, flat.shape[1])
        found, distances = pairwise_distances_argmin_min(flat, some)
        nearer = distances < least
        least[nearer] = distances[nearer]
        chosen[nearer] = first + found[nearer]
    return data[chosen]
