"""What the times say, and with what confidence.

Blocks of one process are alike, so however many there are, they do not say
how much processes differ. What is repeated is the set, in which each variant
has a fresh process: repetition belongs at the highest level that varies
(Kalibera & Jones 2013, Rigorous Benchmarking in Reasonable Time, ISMM). Each
set therefore gives one number, and an interval is Student's t over the sets
(1908, The Probable Error of a Mean, Biometrika 6:1-25). It assumes that the
sets are independent draws of process, memory layout and moment, and that the
logarithms of their numbers are about normal; it holds for this machine in
this hour.
"""

from collections.abc import Mapping, Sequence
from math import exp, inf, isfinite
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

CONFIDENCE = 0.95
FEWEST_SETS = 2  # one has no deviation
# They find a ratio of 1.05 between forms that are entered twice in 80 of 100
# tables of few variants, where processes differ by 2.7 % (test_statistics).
ENOUGH_SETS = 5
# Of a variant: (sets, rounds).
Blocks = NDArray[np.float64]


class Interval(NamedTuple):
    """An estimate with its confidence interval, unbounded if nothing bounds it.

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
        """That of a ratio or a geometric mean, from that of its logarithm."""
        return Interval(*map(exp, self))


class Claim(NamedTuple):
    """How many times faster one form is than another, and the verdict.

    Attributes:
        ratio: time of the other over time of the one.
        p: two-sided, corrected for the number of claims.
        verdict: ``faster``, ``slower`` or ``tie``; empty without a floor, or
            of too few sets.
    """

    ratio: Interval
    p: float
    verdict: str


def mean_over_sets(values: NDArray[np.float64]) -> tuple[Interval, float]:
    """The mean of one number a set with its 95 % interval, and p of a mean 0.

    With s the standard deviation of n numbers, the interval is mean +- t s /
    sqrt(n), t the .975 quantile of Student's distribution with n - 1 degrees
    of freedom, and p is two-sided. Fewer than FEWEST_SETS bound nothing. Where
    the numbers do not vary t is undefined; there the interval is the mean.

    Example:
        >>> found, p = mean_over_sets(np.array([0.9, 1.0, 1.1]))
        >>> print(f"{found:.2f}, {p:.4f}")
        1.00 (0.75 to 1.25), 0.0033
        >>> mean_over_sets(np.array([1.0]))
        (Interval(estimate=1.0, low=-inf, high=inf), 1.0)
    """
    mean = float(values.mean())
    if len(values) < FEWEST_SETS:
        return Interval(mean, -inf, inf), 1.0
    if not np.ptp(values):
        return Interval(mean, mean, mean), float(mean == 0)
    freedom = len(values) - 1
    error = float(values.std(ddof=1)) / len(values) ** 0.5
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    p = 2 * float(stdtr(freedom, -abs(mean) / error))
    return Interval(mean, mean - half, mean + half), p


def estimate(blocks: Blocks) -> Interval:
    """The geometric mean of the sets' medians."""
    return mean_over_sets(np.log(np.median(blocks, axis=1)))[0].exp()


def log_ratios(
    ours: Sequence[Blocks], theirs: Sequence[Blocks]
) -> NDArray[np.float64]:
    """log(theirs / ours) of each set; above 0 where ours is faster.

    Args:
        ours: of each process that a set has of the one form.
        theirs: of the other.
    """
    # Of the blocks of one round first, then the median: what the machine does
    # meanwhile falls on a whole round, whereas the medians of two processes
    # may come from different moments of a set that drifts. The mean of two
    # processes of one form has half their variance; they do not count as two
    # sets, for whatever else differs between sets is common to both.
    rounds = np.mean(np.log(theirs), axis=0) - np.mean(np.log(ours), axis=0)
    return np.median(rounds, axis=1)


def noise_floor(times: Mapping[str, Blocks]) -> float | None:
    """The largest log-ratio of a variant to itself, entered again (A/A).

    It guards against what intervals cannot show, such as an advantage of
    whoever starts first. None if there is no such pair.
    """
    ratios = [
        abs(float(log_ratios([times[form]], [times[name]]).mean()))
        for name in times
        if (form := name.removesuffix(" again")) != name and form in times
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
    """The verdict on each form of a table, against the rival.

    ``faster`` if the corrected p is at most .05 and the mean log-ratio exceeds
    the noise floor; ``slower`` likewise; else ``tie``: no difference is shown.
    Where no floor was measured, or one set alone, there is no verdict.
    """

    def processes(form: str) -> list[Blocks]:
        return [times[n] for n in (form, f"{form} again") if n in times]

    found = {
        name: mean_over_sets(log_ratios(processes(name), processes(rival)))
        for name in times
        if name != rival and not name.endswith(" again")
    }
    corrected = holm([p for _, p in found.values()])
    claims = {}
    for (name, (log, _)), p in zip(found.items(), corrected, strict=True):
        verdict = ""
        if floor is not None and isfinite(log.high):
            is_clear = p <= 1 - CONFIDENCE and abs(log.estimate) > floor
            signed = "faster" if log.estimate > 0 else "slower"
            verdict = signed if is_clear else "tie"
        claims[name] = Claim(log.exp(), p, verdict)
    return claims
