"""Whether the twins are equivalent, and what a failure rate may be.

A test that finds no difference does not show that there is none. So the null
hypothesis is that the twins differ: two one-sided t-tests must reject, each at
5 %, that their difference lies at or beyond either end of a margin (TOST;
Schuirmann 1987, J. Pharmacokinet. Biopharm. 15:657-680). They do exactly if the
90 % confidence interval lies within the margin. The interval is Welch's, which
does not assume equal variances.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from benchmarks.statistics import Interval

LEVEL = 0.05  # of each of the two tests


class Margin(NamedTuple):
    """The differences of the twins that would not matter.

    Attributes:
        metric: its name in a table.
        low: the smallest difference, PyTorch - JAX; or the smallest ratio.
        high: the largest.
        reason: why such a difference would not matter.
        is_ratio: compares geometric means, not means.
    """

    metric: str
    low: float
    high: float
    reason: str
    is_ratio: bool = False


# Fixed before the runs that they judge were made.
MARGINS = {
    "frechet_distance": Margin(
        "Fréchet distance",
        4 / 5,
        5 / 4,
        "the margin of bioequivalence, which nobody chose for this study; of "
        "a ratio, because distances have no unit to measure a difference in",
        is_ratio=True,
    ),
    "digits": Margin(
        "digits shown",
        -0.5,
        0.5,
        "less than one of the ten digits in every second run",
    ),
    "confidence": Margin(
        "confidence",
        -0.02,
        0.02,
        "a quarter of what separates samples of recipe mlp (.91) from real "
        "digits (.99)",
    ),
    "worst_margin": Margin(
        "largest D(x) - D(G(z))",
        -0.10,
        0.10,
        "a tenth of the way from a D that cannot tell samples from data (0) "
        "to one that is certain (1)",
    ),
    "final_margin": Margin(
        "final D(x) - D(G(z))",
        -0.05,
        0.05,
        "half of that, as it says where a run ends, not what it went through",
    ),
}


def clopper_pearson(
    failures: int, runs: int, confidence: float = 0.95
) -> tuple[float, float]:
    """The two-sided exact interval of a failure rate.

    Its ends are the rates p with P(X >= failures; p) and P(X <= failures; p)
    equal to (1 - confidence) / 2, for a binomial X of as many runs (Clopper &
    Pearson 1934, Biometrika 26:404-413). So no failure in n runs still allows
    the rate 1 - ((1 - confidence) / 2)^(1 / n).

    Example:
        >>> low, high = clopper_pearson(0, 60)
        >>> low, round(high, 4)
        (0.0, 0.0596)
    """
    low, high = stats.binomtest(failures, runs).proportion_ci(
        confidence, method="exact"
    )
    return float(low), float(high)


def difference_of_means(
    a: Sequence[float],
    b: Sequence[float],
    confidence: float = 1 - 2 * LEVEL,
) -> Interval:
    """Mean of b less mean of a, with Welch's interval.

    With d the difference of the means and v = s^2 / n of each sample (s its
    standard deviation, n its size), the interval is d +- t sqrt(v1 + v2). t is
    the (1 + confidence) / 2 quantile of Student's distribution with (v1 +
    v2)^2 / (v1^2 / (n1 - 1) + v2^2 / (n2 - 1)) degrees of freedom. These are
    undefined where neither sample varies; there the interval is the difference
    itself. The default is the interval of two one-sided tests at LEVEL.

    Raises:
        ValueError: a sample has fewer than two values.

    Example:
        >>> of = difference_of_means([9.0, 10.0, 11.0], [10.0, 11.0, 12.0])
        >>> print(f"{of:.2f}")
        1.00 (-0.74 to 2.74)
        >>> difference_of_means([10.0, 10.0], [10.0, 10.0])
        Interval(estimate=0.0, low=0.0, high=0.0)
    """
    sizes = np.array([len(a), len(b)])
    if sizes.min() < 2:
        raise ValueError("a standard deviation needs two values or more")
    difference = float(np.mean(b) - np.mean(a))
    if not np.ptp(a) and not np.ptp(b):
        return Interval(difference, difference, difference)
    squares = np.array([np.var(a, ddof=1), np.var(b, ddof=1)]) / sizes
    freedom = squares.sum() ** 2 / (squares**2 / (sizes - 1)).sum()
    quantile = stats.t.ppf((1 + confidence) / 2, freedom)
    half = float(quantile * squares.sum() ** 0.5)
    return Interval(difference, difference - half, difference + half)


def ratio_of_geometric_means(
    a: Sequence[float],
    b: Sequence[float],
    confidence: float = 1 - 2 * LEVEL,
) -> Interval:
    """Geometric mean of b over that of a, with Welch's interval.

    exp of ``difference_of_means`` of the logarithms.

    Example:
        >>> of = ratio_of_geometric_means([1.0, 1.1, 0.9], [2.0, 2.2, 1.8])
        >>> print(f"{of:.2f}")
        2.00 (1.68 to 2.38)
    """
    logs = np.log(a).tolist(), np.log(b).tolist()
    return difference_of_means(*logs, confidence).exp()


def compare(
    margin: Margin, jax: Sequence[float], torch: Sequence[float]
) -> tuple[Interval, bool]:
    """The interval, and whether TOST at 5 % shows equivalence.

    Example:
        >>> compare(MARGINS["digits"], [10.0, 9.0, 10.0], [10.0, 10.0, 7.0])[1]
        False
    """
    if margin.is_ratio:
        interval = ratio_of_geometric_means(jax, torch)
    else:
        interval = difference_of_means(jax, torch)
    return interval, margin.low < interval.low and interval.high < margin.high
