"""What makes two arrays that differ equal: the usual slips of a port."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from parity_tests.measure import accounts_for, factor_of, is_near, sample_size
from parity_tests.movements import movements
from parity_tests.orders import orders

# Kinds whose arrays are stored, and not computed in a step.
_STORED = ("weights", "moments", "statistics")


def explain(
    reference: NDArray,
    port: NDArray,
    kind: str = "",
    name: str = "",
    before: NDArray | None = None,
    moments: Mapping[str, NDArray] | None = None,
) -> list[str]:
    """Causes that account for every number of an array; none if unknown.

    Tries precisions and constants; orders of the elements (axes, flips,
    flattening); then, of a state, how it moved; else factors, offsets and
    functions.

    Args:
        reference: the array that is right.
        port: the array that differs.
        kind: ``weights``, ``moments``, ``statistics`` or another.
        name: of the array.
        before: the reference's array before the step, if it is of a state.
        moments: of weights, what the reference's Adam kept of them after the
            step: ``m`` and ``v``.

    Example:
        >>> explain(np.array([1.0, 2.0, 4.0]), np.array([2.0, 4.0, 8.0]))
        ['2 times the reference: a mean over 2 in one, a sum in the other?']
        >>> explain(np.eye(3) + [0, 1, 2], np.eye(3) + [[0], [1], [2]])
        ['transposed']
        >>> explain(np.array([1.0, 2.0, 4.0]), np.array([2.0, 4.1, 8.0]))
        []
    """
    a, b = (np.asarray(array, np.float64) for array in (reference, port))
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return []
    if a.size != b.size or (a.shape == b.shape and np.array_equal(a, b)):
        return []
    found = [_precisions(a, b), orders(a, b)]
    if a.shape == b.shape and before is not None:
        start = np.asarray(before, np.float64)
        found.append(movements(a, b, start, kind, moments or {}))
    elif a.shape == b.shape:
        found += [_constants(a, b, kind), _scales(a, b)]
        if kind not in _STORED:
            found.append(_functions(a, b))
    return next((causes for of in found if (causes := list(of))), [])


def _precisions(a: NDArray, b: NDArray) -> Iterator[str]:
    """The reference, rounded to fewer digits."""
    for precision in (np.float32, np.float16):
        with np.errstate(over="ignore"):
            if a.size > 1 and np.array_equal(a.astype(precision), b):
                yield f"the reference rounded to {precision.__name__}"
                return


def _constants(a: NDArray, b: NDArray, kind: str) -> Iterator[str]:
    """The same number everywhere, where the reference has several."""
    if (
        np.unique(a).size < 2
        or np.unique(b).size > 1
        or b.flat[0] not in (0, 1)
    ):
        return
    of = "a gradient that was stopped, or numbers that are not used"
    if kind in _STORED:
        of = "as in a new model, never copied"
    yield f"{b.flat[0]:.0f} everywhere: {of}"


def _scales(a: NDArray, b: NDArray) -> Iterator[str]:
    """A constant factor or offset."""
    factor = factor_of(a, b)
    if factor == -1:
        yield "the sign"
    elif factor:
        cause = f"{factor:.9g} times the reference"
        many = max(factor, 1 / factor)
        if many > 1.5 and np.isclose(many, round(many), rtol=1e-6):
            cause += f": a mean over {round(many)} in one, a sum in the other?"
        elif n := sample_size(factor):
            cause += f": divided by n in one, by n - 1 in the other, n = {n}?"
        yield cause
    elif a.size > 2 and accounts_for(a + (b - a).mean(), a, b):
        yield f"{(b - a).mean():.6g} more than the reference"


def _softmax(a: NDArray) -> NDArray:
    powers = np.exp(a - a.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


_FUNCTIONS: dict[str, Callable[[NDArray], NDArray]] = {
    "its square: a variance in place of a standard deviation?": np.square,
    "its square root: a standard deviation in place of a variance?": np.sqrt,
    "its reciprocal": np.reciprocal,
    "its exponential": np.exp,
    "its logarithm": np.log,
    "its tanh: an activation more": np.tanh,
    "its sigmoid: probabilities in place of logits": lambda a: (
        1 / (1 + np.exp(-a))
    ),
    "its logit: logits in place of probabilities": lambda a: np.log(
        a / (1 - a)
    ),
    "its softmax: probabilities in place of logits": _softmax,
    "its log-softmax: log-probabilities in place of logits": lambda a: np.log(
        _softmax(a)
    ),
}


def _functions(a: NDArray, b: NDArray) -> Iterator[str]:
    """A function of each number, or of a row."""
    # Few numbers fit many functions.
    if np.unique(a).size < 4 or not a.ndim:
        return
    with np.errstate(all="ignore"):
        for cause, function in _FUNCTIONS.items():
            image = function(a)
            if np.isfinite(image).all() and accounts_for(image, a, b):
                yield cause
                return
    yield from _piecewise(a, b)


def _piecewise(a: NDArray, b: NDArray) -> Iterator[str]:
    """Some of the numbers as they are, others by a rule."""
    negative, zero, largest = a < 0, b == 0, np.abs(b).max()
    if accounts_for(np.clip(a, -largest, largest), a, b):
        yield f"clipped to {largest:.6g}"
    elif is_near(a[~negative], b[~negative]) and negative.sum() > 1:
        factor = factor_of(a[negative], b[negative])
        if factor:
            yield (
                f"negative numbers are {factor:.6g} times the reference's: the "
                "slope of a leaky ReLU"
            )
        elif not b[negative].any():
            yield "negative numbers are 0: a ReLU more"
    elif 1 < zero.sum() < zero.size - 1:
        factor = factor_of(a[~zero], b[~zero])
        if factor and factor > 1:
            yield (
                f"0 in {zero.mean():.0%}, elsewhere {factor:.6g} times the "
                f"reference: dropout with keep probability {1 / factor:.4g}"
            )
