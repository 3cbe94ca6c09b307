"""The paper's own estimate: log-likelihood under a Parzen window of samples.

Section 5: a Gaussian of standard deviation sigma sits on each of n samples x_i
of G,

    p(x) = 1/n sum_i N(x; x_i, sigma^2 I),

sigma is the best of a grid on validation images, and the mean of log p(x)
over the test images is reported, in nats. The paper warns that the estimate
has high variance and does poorly in high dimensions; compare it with the same
estimate for training images as samples.
"""

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from sklearn.metrics import pairwise_distances_chunked

# The authors' grid.
SIGMAS = np.logspace(-1, 0, 10)
# Memory for one block of squared distances, in MiB.
_MEMORY = 16


class Parzen(NamedTuple):
    """Log-likelihood of test images in nats: mean, its error, and sigma.

    Attributes:
        mean: over the test images.
        standard_error: of that mean.
        sigma: the best of ``SIGMAS`` for the validation images.
        validation: their mean log-likelihood with it.
    """

    mean: float
    standard_error: float
    sigma: float
    validation: float


def estimate(
    samples: NDArray[np.floating],
    validation: NDArray[np.floating],
    test: NDArray[np.floating],
) -> Parzen:
    """The test log-likelihood, with the sigma that serves validation best.

    Args:
        samples: of the generator, (n, *sample), in [0, 1].
        validation: real images that choose sigma from ``SIGMAS``.
        test: real images to be judged.

    Warns:
        UserWarning: the best sigma is the first or the last of the grid, so
            that a better one may lie beyond.
    """
    means = log_likelihood(validation, samples, SIGMAS).mean(1)
    sigma = SIGMAS[means.argmax()]
    if sigma in (SIGMAS[0], SIGMAS[-1]):
        warnings.warn(
            f"the best sigma, {sigma:.3f}, lies on the edge of the grid: a "
            "better one may lie beyond",
            stacklevel=2,
        )
    (values,) = log_likelihood(test, samples, [sigma])
    error = values.std(ddof=1) / np.sqrt(len(values))
    return Parzen(
        float(values.mean()), float(error), float(sigma), float(means.max())
    )


def log_likelihood(
    x: NDArray[np.floating],
    samples: NDArray[np.floating],
    sigmas: NDArray[np.floating] | list[float],
) -> NDArray[np.float64]:
    """log p(x) in nats of each x, for each sigma: (sigmas, x).

    Example:
        >>> log_likelihood(np.zeros((1, 1)), np.zeros((3, 1)), [1.0]).round(4)
        array([[-0.9189]])
    """
    flat = [
        array.reshape(len(array), -1).astype(float) for array in (x, samples)
    ]
    n, size = flat[1].shape
    variances = np.square(sigmas)

    # Squares are wanted, and one matmul gives them: no root.
    blocks = pairwise_distances_chunked(
        *flat,
        metric="euclidean",
        squared=True,
        working_memory=_MEMORY,
        reduce_func=lambda squares, _: np.stack(
            [logsumexp(squares / (-2 * v), axis=1) for v in variances], axis=1
        ),
    )
    constants = np.log(n) + size / 2 * np.log(2 * np.pi * variances)
    return np.concatenate([*blocks]).T - constants[:, np.newaxis]
