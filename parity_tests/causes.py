"""What makes two arrays that differ equal: the usual slips of a port."""

from collections.abc import Callable, Iterator
from itertools import chain, combinations, permutations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Shares of itself that a running value keeps, and moments of a gradient.
_KEPT = (0.9, 0.99, 0.999)


def explain(
    reference: NDArray,
    port: NDArray,
    kind: str = "",
    name: str = "",
    before: NDArray | None = None,
) -> list[str]:
    """Causes that account for every number of an array; none if unknown.

    Tries orders of the elements first (axes, flips, flattening); then, of a
    state, how it moved; then factors and offsets.

    Args:
        reference: the array that is right.
        port: the array that differs.
        kind: ``weights``, ``moments``, ``statistics`` or another.
        name: of the array.
        before: the reference's array before the step, if it is of a state.

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
    found = [_orders(a, b)]
    if before is not None and a.shape == b.shape:
        start = np.asarray(before, np.float64)
        found.append(_movements(a, b, start, kind, name))
    elif a.shape == b.shape:
        found.append(_scales(a, b))
    return next((causes for of in found if (causes := list(of))), [])


def _near(a: NDArray, b: NDArray) -> bool:
    """Equal but for rounding, in units of the largest number."""
    if a.shape != b.shape:
        return False
    size = max(np.abs(a).max(initial=0), np.abs(b).max(initial=0))
    return bool(np.abs(a - b).max(initial=0) <= 1e-6 * size)


def _orders(a: NDArray, b: NDArray) -> Iterator[str]:
    """The same numbers in another order."""
    # Few or equal numbers are alike in every order.
    if np.unique(a).size < 3 or _near(a, b):
        return
    if not _near(np.sort(a, None), np.sort(b, None)):
        return
    for axes in permutations(range(a.ndim)):
        if list(axes) != sorted(axes) and _near(a.transpose(axes), b):
            of = f": its axes are the reference's {axes}" if a.ndim > 2 else ""
            yield f"transposed{of}"
            return
    for flipped in _subsets(a.ndim):
        if _near(np.flip(a, flipped), b):
            yield f"flipped along axis {', '.join(map(str, flipped))}"
            return
    yield _flattened(a, b) or "the same numbers in another order"


def _flattened(a: NDArray, b: NDArray) -> str:
    """An axis that is a flattened image whose channels moved; or nothing.

    Several images may fit; the one that is nearest to a square is said.
    """
    if a.shape != b.shape:
        return ""
    found = []
    for axis in range(a.ndim):
        ours, theirs = (np.moveaxis(x, axis, 0) for x in (a, b))
        for sizes in _factors(len(ours)):
            image = ours.reshape(*sizes, -1)
            for now, then, source, target in (
                ("last", "first", 0, 2),
                ("first", "last", 2, 0),
            ):
                moved = np.moveaxis(image, source, target)
                if _near(moved.reshape(ours.shape), theirs):
                    h, w = np.delete(sizes, source)
                    cause = (
                        f"axis {axis} is an image of {sizes[source]} channels "
                        f"and {h}x{w}, flattened channels {now}, in the "
                        f"reference channels {then}"
                    )
                    found.append((abs(h - w), cause))
    return min(found)[1] if found else ""


def _movements(
    a: NDArray, b: NDArray, start: NDArray, kind: str, name: str
) -> Iterator[str]:
    """How a state moved in a step, against how it should have."""
    ours, theirs = a - start, b - start
    if not theirs.any():
        yield "one step late: it is the reference's before the step"
        return
    factor = _factor(ours, theirs)
    if kind == "statistics":
        yield from _statistics(a, b, start, factor)
    elif factor == -1:
        yield "it moved the opposite way: the sign"
    elif factor and kind == "moments" and not start.any():
        yield (
            f"{factor:.9g} times the reference after the first step: 1 - b, or "
            "1 - momentum, or the gradient, is larger by that factor"
        )
    elif factor and kind == "weights":
        yield (
            f"it moved {factor:.9g} times as far, as with a learning rate that "
            "is larger by that factor (1 + momentum: Nesterov's)"
        )
    elif factor:
        yield f"it moved {factor:.9g} times as far"


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
        added = _factor(a - kept * start, b - kept * start)
        if added and (n := _sample_size(added)):
            yield (
                f"what it takes in is {added:.9g} times the reference's: a "
                f"variance divided by n in one, by n - 1 in the other, n = {n}"
            )
            return
    if factor:
        yield f"it moved {factor:.9g} times as far"


def _sample_size(factor: float) -> int | None:
    """The n of a factor n / (n - 1), or of its inverse."""
    larger = max(factor, 1 / factor) if factor > 0 else 0.0
    if not 1 < larger <= 1.5:
        return None
    n = larger / (larger - 1)
    return round(n) if np.isclose(n, round(n), rtol=1e-5) else None


def _scales(a: NDArray, b: NDArray) -> Iterator[str]:
    """A constant factor or offset."""
    factor = _factor(a, b)
    if factor == -1:
        yield "the sign"
    elif factor:
        cause = f"{factor:.9g} times the reference"
        many = max(factor, 1 / factor)
        if many > 1.5 and np.isclose(many, round(many), rtol=1e-6):
            cause += f": a mean over {round(many)} in one, a sum in the other?"
        elif n := _sample_size(factor):
            cause += f": divided by n in one, by n - 1 in the other, n = {n}?"
        yield cause
    elif a.size > 2 and _near(a + (b - a).mean(), b):
        yield f"{(b - a).mean():.6g} more than the reference"


def _factor(a: NDArray, b: NDArray) -> float | None:
    """The f of b = f a, if there is one but 1.

    Of one number alone there always is: then it explains nothing.
    """
    if np.count_nonzero(a) < 2:
        return None
    at = np.unravel_index(np.abs(a).argmax(), a.shape)
    factor = float(b[at] / a[at])
    if factor == 0 or np.isclose(factor, 1, rtol=1e-7):
        return None
    if not _near(factor * a, b):
        return None
    return -1.0 if np.isclose(factor, -1, rtol=1e-7) else factor


def _subsets(count: int) -> Iterator[tuple[int, ...]]:
    return chain.from_iterable(
        combinations(range(count), n) for n in range(1, count + 1)
    )


def _factors(count: int) -> Iterator[tuple[int, int, int]]:
    """Three factors of a number, the largest of which is not the number."""
    for first in range(1, count + 1):
        for second in range(1, count // first + 1):
            sizes = first, second, count // first // second
            if first * second * sizes[2] == count and max(sizes) < count:
                yield sizes


class _Usual(NamedTuple):
    """What often makes an array differ."""

    of: Callable[[str, str], bool]
    causes: str


_USUAL = (
    _Usual(
        lambda kind, name: kind == "metric",
        "mean or sum, sign, logits or probabilities; or when the metric is "
        "taken",
    ),
    _Usual(
        lambda kind, name: kind == "gradient",
        "a layer's forward pass; a derivative at a kink (leaky_relu at 0, ties "
        "of a maximum); detach or stop_gradient; epsilon of a norm",
    ),
    _Usual(
        lambda kind, name: name.endswith("(m)"),
        "b1, or gradients that were not compared",
    ),
    _Usual(
        lambda kind, name: name.endswith("(v)"),
        "b2, or the variance in place of the second moment",
    ),
    _Usual(
        lambda kind, name: kind == "moments",
        "a gradient that was not compared, a weight decay added to it, "
        "momentum or dampening",
    ),
    _Usual(
        lambda kind, name: kind == "weights",
        "learning rate, epsilon inside or outside the root, bias correction, "
        "weight decay (AdamW: 1e-4 in Optax, 1e-2 in PyTorch)",
    ),
    _Usual(
        lambda kind, name: name.endswith("var"),
        "biased or unbiased variance; momentum of old or of new (Flax's .9 is "
        "PyTorch's .1)",
    ),
    _Usual(
        lambda kind, name: True,
        "momentum of old or of new (Flax's .9 is PyTorch's .1); how many "
        "forward passes move it",
    ),
)


def usual_causes(kind: str, name: str) -> str:
    """What often makes such an array differ."""
    return next(usual.causes for usual in _USUAL if usual.of(kind, name))
