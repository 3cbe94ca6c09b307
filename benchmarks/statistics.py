"""What the times say, and with what confidence.

Blocks of one process are alike, so however many there are, they do not say
how much processes differ. The highest level that varies must be repeated
(Kalibera & Jones 2013, Rigorous Benchmarking in Reasonable Time, ISMM): in a
process repetition each variant has a fresh process. A repetition gives one
number, and an interval is Student's t over the repetitions (1908, The Probable
Error of a Mean, Biometrika 6:1-25). It assumes that the repetitions are
independent draws of process, memory layout and moment, and that the logarithms
of their numbers are about normal. It holds for this machine in this hour.
"""

from collections.abc import Mapping, Sequence
from math import exp, inf, isfinite
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from benchmarks.variant_names import is_duplicate, original

CONFIDENCE = 0.95
FEWEST_REPETITIONS = 2  # one has no standard deviation
# They detect a ratio of 1.05 between variants with A/A duplicates in 80 of 100
# tables of few variants, where processes differ by 2.7 % (test_statistics).
ENOUGH_REPETITIONS = 5
# Of a variant: (repetitions, rounds).
Blocks = NDArray[np.float64]


class Interval(NamedTuple):
    """An estimate with its confidence interval, infinite without a bound.

    Example:
        >>> print(f"{Interval(1.0, 0.9, 1.11):.1f}")
        1.0 (0.9 to 1.1)
        >>> print(f"{Interval(1.0, 0.0, inf):.1f}")
        1.0
    """

    estimate: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        """The estimate and, where it is bounded, the interval."""
        if not isfinite(self.high):
            return format(self.estimate, spec)
        middle, low, high = (format(value, spec) for value in self)
        return f"{middle} ({low} to {high})"

    def exp(self) -> "Interval":
        """Interval of a ratio or geometric mean, from that of its logarithm."""
        return Interval(*map(exp, self))


class Claim(NamedTuple):
    """How many times faster a variant is than its rival, and the verdict.

    Attributes:
        ratio: time of the rival over time of the variant.
        p: two-sided, corrected for the number of claims.
        verdict: ``faster``, ``slower`` or ``tie``; empty without a noise
            floor, or of too few repetitions.
    """

    ratio: Interval
    p: float
    verdict: str


def mean_over_repetitions(
    values: NDArray[np.float64],
) -> tuple[Interval, float]:
    """The mean of one number a repetition, its 95 % interval, p of a mean 0.

    With s the standard deviation of n numbers, the interval is mean +- t s /
    sqrt(n), t the .975 quantile of Student's distribution with n - 1 degrees
    of freedom, and p is two-sided. Fewer than FEWEST_REPETITIONS have no
    interval. Where the numbers are constant t is undefined; there the interval
    is the mean.

    Example:
        >>> interval, p = mean_over_repetitions(np.array([0.9, 1.0, 1.1]))
        >>> print(f"{interval:.2f}, {p:.4f}")
        1.00 (0.75 to 1.25), 0.0033
        >>> mean_over_repetitions(np.array([1.0]))
        (Interval(estimate=1.0, low=-inf, high=inf), 1.0)
    """
    mean = float(values.mean())
    if len(values) < FEWEST_REPETITIONS:
        return Interval(mean, -inf, inf), 1.0
    if not np.ptp(values):
        return Interval(mean, mean, mean), float(mean == 0)
    freedom = len(values) - 1
    error = float(values.std(ddof=1)) / len(values) ** 0.5
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    p = 2 * float(stdtr(freedom, -abs(mean) / error))
    return Interval(mean, mean - half, mean + half), p


def estimate(blocks: Blocks) -> Interval:
    """The geometric mean of the repetitions' medians."""
    medians = np.median(blocks, axis=1)
    return mean_over_repetitions(np.log(medians))[0].exp()


def log_ratios(
    variant: Sequence[Blocks], rival: Sequence[Blocks]
) -> NDArray[np.float64]:
    """log(rival / variant) of each repetition; above 0 if it is faster.

    Args:
        variant: blocks of each process that a repetition has of the variant.
        rival: likewise.
    """
    # The ratio of the blocks of a round first, then the median. Background load
    # affects a whole round, whereas the medians of two processes may come from
    # different moments of a repetition that drifts. The mean of two processes
    # of one variant has half their variance; they do not count as two
    # repetitions, because whatever else differs between repetitions is common
    # to both.
    rounds = np.mean(np.log(rival), axis=0) - np.mean(np.log(variant), axis=0)
    return np.median(rounds, axis=1)


def noise_floor(times: Mapping[str, Blocks]) -> float | None:
    """The largest log-ratio of a variant to its A/A duplicate.

    It covers what intervals cannot show, such as an advantage of the process
    that starts first. None without an A/A duplicate.
    """
    ratios = [
        abs(float(log_ratios([times[original(name)]], [times[name]]).mean()))
        for name in times
        if is_duplicate(name) and original(name) in times
    ]
    return max(ratios, default=None)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction: the k-th smallest of n times n - k + 1, rising.

    (Holm 1979, A Simple Sequentially Rejective Multiple Test Procedure, Scand.
    J. Statist. 6:65-70.)

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
    times: Mapping[str, Blocks], rival: str, floor: float | None
) -> dict[str, Claim]:
    """The verdict on each variant of a table, against the rival.

    ``faster`` if the corrected p is at most .05 and the mean log-ratio exceeds
    the noise floor; ``slower`` likewise; else ``tie``: no difference is shown.
    There is no verdict without a noise floor, or of a single repetition.
    """

    def processes(variant: str) -> list[Blocks]:
        return [times[n] for n in times if original(n) == variant]

    tests = {
        name: mean_over_repetitions(
            log_ratios(processes(name), processes(rival))
        )
        for name in times
        if name != rival and not is_duplicate(name)
    }
    corrected = holm([p for _, p in tests.values()])
    claims = {}
    for (name, (log, _)), p in zip(tests.items(), corrected, strict=True):
        verdict = ""
        if floor is not None and isfinite(log.high):
            is_clear = p <= 1 - CONFIDENCE and abs(log.estimate) > floor
            signed = "faster" if log.estimate > 0 else "slower"
            verdict = signed if is_clear else "tie"
        claims[name] = Claim(log.exp(), p, verdict)
    return claims
