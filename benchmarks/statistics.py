"""What the times say, and with what confidence. NumPy only.

A pair of variants is compared by the logarithm of its ratio of times, block
by block: the two blocks of a round had the same machine. Its interval is a
hierarchical bootstrap, since blocks of one process are alike: process sets
are drawn first, then rounds within each. Several claims are corrected by
Holm's rule (1979). Two variants run twice under other names (A/A): whatever
difference they show is the noise floor, and a smaller one is a tie.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 4000
CONFIDENCE = 0.95
# The blocks of each process set.
Sets = Sequence[Sequence[float] | NDArray[np.float64]]


class Estimate(NamedTuple):
    """A median with its 95 % interval."""

    median: float
    low: float
    high: float


class Claim(NamedTuple):
    """How many times faster one variant is than another, and the verdict.

    Attributes:
        ratio: time of the other over time of the one.
        p: two-sided, corrected for the number of claims.
        verdict: ``faster``, ``slower`` or ``tie``; empty without a floor.
    """

    ratio: Estimate
    p: float
    verdict: str


def resample(sets: Sets) -> NDArray[np.float64]:
    """Medians of RESAMPLES bootstrap samples: of sets, then of blocks.

    Raises:
        ValueError: there is no block, sets have unequal numbers of blocks, or
            a number is not finite.
    """
    blocks = np.array([np.asarray(blocks, float) for blocks in sets])
    if not blocks.size or not np.isfinite(blocks).all():
        raise ValueError("every process set needs blocks, and finite ones")
    rng = np.random.default_rng(0)
    shape = RESAMPLES, *blocks.shape
    drawn = rng.integers(shape[1], size=shape[:2])[:, :, np.newaxis]
    samples = blocks[drawn, rng.integers(shape[2], size=shape)]
    return np.median(samples.reshape(RESAMPLES, -1), axis=1)


def estimate(sets: Sets) -> Estimate:
    """The median of all blocks and its hierarchical bootstrap interval."""
    return _interval(sets, resample(sets))


def _interval(sets: Sets, medians: NDArray[np.float64]) -> Estimate:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(medians, (tail, 1 - tail))
    return Estimate(float(np.median(np.array(sets))), float(low), float(high))


def log_ratios(ours: Sets, theirs: Sets) -> list[NDArray[np.float64]]:
    """log(theirs / ours), block by block; above 0 where ours is faster."""
    return [
        np.log(np.asarray(b) / np.asarray(a))
        for a, b in zip(ours, theirs, strict=True)
    ]


def noise_floor(pairs: Sequence[tuple[Sets, Sets]]) -> float:
    """The largest log-ratio that the intervals of A/A pairs allow.

    Raises:
        ValueError: there is no pair.
    """
    bounds = []
    for ours, theirs in pairs:
        found = estimate(log_ratios(ours, theirs))
        bounds += [abs(found.low), abs(found.high)]
    return max(bounds)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction: the k-th smallest of n times n - k + 1, rising.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(np.argsort(p_values)):
        largest = max(largest, (len(p_values) - rank) * p_values[i])
        corrected[i] = min(1.0, largest)
    return corrected


def judge(
    pairs: Mapping[str, tuple[Sets, Sets]], floor: float | None
) -> dict[str, Claim]:
    """The verdict on each pair (ours, theirs) of one table.

    ``faster`` if the interval excludes 1, the corrected p is at most .05 and
    the median exceeds the noise floor; ``slower`` likewise; else ``tie``.
    Where no floor was measured there is no verdict.
    """
    found, p_values = {}, []
    for name, (ours, theirs) in pairs.items():
        logs = log_ratios(ours, theirs)
        medians = resample(logs)
        found[name] = _interval(logs, medians)
        beyond = min((medians <= 0).mean(), (medians >= 0).mean())
        # A bootstrap cannot tell a p below one of its samples.
        p_values.append(min(1.0, 2 * max(float(beyond), 1 / RESAMPLES)))
    claims = {}
    for (name, log), p in zip(found.items(), holm(p_values), strict=True):
        verdict = "" if floor is None else "tie"
        clear = p <= 1 - CONFIDENCE and abs(log.median) > (floor or 0.0)
        if verdict and clear and (log.low > 0 or log.high < 0):
            verdict = "faster" if log.median > 0 else "slower"
        ratio = Estimate(*(float(np.exp(value)) for value in log))
        claims[name] = Claim(ratio, p, verdict)
    return claims
