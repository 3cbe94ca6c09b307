"""How a state moved in a step, against how it should have."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from parity_tests.measure import factor_of, sample_size

# Shares of itself that a running value keeps, and moments of a gradient.
_KEPT = (0.9, 0.99, 0.999)
# Relative; a movement of 1e-4 in weights of 1 has rounding of 1e-12.
_EXACT = 1e-10


def movements(
    a: NDArray,
    b: NDArray,
    start: NDArray,
    kind: str,
    moments: Mapping[str, NDArray],
) -> Iterator[str]:
    """Rules of a step that account for every number of a state.

    Args:
        a: the reference after the step.
        b: the port.
        start: the reference before the step.
        kind: of the state.
        moments: of weights, ``m`` and ``v`` of the reference after the step.
    """
    ours, theirs = a - start, b - start
    if not theirs.any():
        yield "one step late: it is the reference's before the step"
        return
    factor = factor_of(ours, theirs)
    if kind == "statistics":
        yield from _statistics(a, b, start, factor)
    elif factor == -1:
        yield "it moved the opposite way: the sign"
    elif factor and kind == "moments" and not start.any():
        yield (
            f"{factor:.9g} times the reference after the first step: 1 - b, or "
            "1 - momentum, or the gradient, is larger by that factor"
        )
    elif factor and kind == "moments":
        yield (
            f"it moved {factor:.9g} times as far: 1 - b is larger by that "
            "factor"
        )
    elif factor:
        yield (
            f"it moved {factor:.9g} times as far, as with a learning rate, or "
            "a bias correction, that is larger by that factor"
            f"{' (1 + momentum: Nesterov)' * (1 < factor < 2)}"
        )
    elif kind == "weights":
        yield from _weights(ours, theirs, start, moments)


def _weights(
    ours: NDArray,
    theirs: NDArray,
    start: NDArray,
    moments: Mapping[str, NDArray],
) -> Iterator[str]:
    """What an optimizer adds to its step, or divides it by."""
    decay = factor_of(start, theirs - ours)
    if decay and abs(decay) < 1:
        yield (
            f"{decay:.6g} times the weights before the step were added, as by "
            "another weight decay (AdamW: 1e-4 in Optax, 1e-2 in PyTorch)"
        )
    elif {"m", "v"} <= moments.keys():
        m, v = (np.asarray(moments[slot], np.float64) for slot in "mv")
        if m.any() and np.abs(m).max() < 1e-12:
            yield (
                "its gradient is rounding alone (m is below 1e-12), which Adam "
                "divides by its own size: a bias before a batch norm"
            )
        else:
            yield from _adam(ours, theirs, m, v)


class _Line(NamedTuple):
    """y = slope x + height, and whether it holds."""

    slope: float
    height: float
    holds: bool


def _line(x: NDArray, y: NDArray) -> _Line:
    # In relative errors, for small numbers have small ones.
    columns = np.stack([x / y, 1 / y], 1)
    scale = np.abs(columns).max(0)
    solution = np.linalg.lstsq(columns / scale, np.ones(len(y)), rcond=None)[0]
    error = np.abs(columns / scale @ solution - 1).max()
    slope, height = solution / scale
    return _Line(slope, height, bool(error < _EXACT))


def _adam(
    ours: NDArray, theirs: NDArray, m: NDArray, v: NDArray
) -> Iterator[str]:
    """Adam's step is c m / (sqrt(v) + e), or with e inside: c m / sqrt(v + e).

    So m over the step is a line of sqrt(v), or its square is one of v, for
    every learning rate, bias correction and epsilon.
    """
    if np.abs(theirs - ours).max() < 100 * _EXACT * np.abs(ours).max():
        return
    # Of a small movement rounding is a large share.
    moved = np.minimum(np.abs(ours), np.abs(theirs)) > 1e-2 * np.abs(ours).max()
    moved &= v > 0
    if moved.sum() < 4:
        return
    root = np.sqrt(v[moved])
    first, second = (m[moved] / of[moved] for of in (ours, theirs))
    outside = _line(root, first), _line(root, second)
    inside = tuple(_line(root**2, y**2) for y in (first, second))
    if outside[0].holds and outside[1].holds:
        slope, height = (
            theirs / ours
            for ours, theirs in zip(outside[0][:2], outside[1][:2], strict=True)
        )
        if np.isclose(slope, 1, rtol=1e-6):
            yield f"epsilon is {height:.4g} times the reference's"
        else:
            yield (
                f"the root is {slope:.4g} times as large, epsilon {height:.4g} "
                "times, as without a bias correction"
            )
    elif outside[0].holds and inside[1].holds:
        yield "epsilon is inside the root, in the reference outside"
    elif inside[0].holds and outside[1].holds:
        yield "epsilon is outside the root, in the reference inside"


def _statistics(
    a: NDArray, b: NDArray, start: NDArray, factor: float | None
) -> Iterator[str]:
    """A running value r, which moves to kept r + (1 - kept) x."""
    for kept in _KEPT:
        for of in (kept, 1 - kept):
            if factor and np.isclose(factor, of / (1 - of), rtol=1e-6):
                yield (
                    f"it keeps {1 - of:.4g} of its old value, the reference "
                    f"{of:.4g}: momentum counts the old value's share in one, "
                    "the new one's in the other"
                )
                return
        added = factor_of(a - kept * start, b - kept * start)
        if added and (n := sample_size(added)):
            yield (
                f"what it takes in is {added:.9g} times the reference's: a "
                f"variance divided by n in one, by n - 1 in the other, n = {n}"
            )
            return
    if factor:
        yield (
            f"it moved {factor:.9g} times as far: momentum, or how many "
            "forward passes move it"
        )
