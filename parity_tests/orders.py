"""The same numbers in another order: axes, flips, flattened images."""

from collections.abc import Iterator
from itertools import chain, combinations, permutations

import numpy as np
from numpy.typing import NDArray

from parity_tests.measure import is_near


def orders(a: NDArray, b: NDArray) -> Iterator[str]:
    """How the numbers of b are those of a, if they are.

    Args:
        a: the reference.
        b: the port, as many numbers.
    """
    # Few or equal numbers are alike in every order.
    if np.unique(a).size < 3 or is_near(a, b):
        return
    if not is_near(np.sort(a, None), np.sort(b, None)):
        return
    for axes in permutations(range(a.ndim)):
        if list(axes) != sorted(axes) and is_near(a.transpose(axes), b):
            of = f": its axes are the reference's {axes}" if a.ndim > 2 else ""
            # Of a convolution's kernel, and of images.
            swapped = axes in ((1, 0, 2, 3), (0, 2, 1, 3))
            yield f"transposed{of}{', height and width swapped' * swapped}"
            return
    for flipped in _subsets(a.ndim):
        if is_near(np.flip(a, flipped), b):
            yield f"flipped along axis {', '.join(map(str, flipped))}"
            return
    yield (
        _flattened(a, b) or _sliced(a, b) or "the same numbers in another order"
    )


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
                if is_near(moved.reshape(ours.shape), theirs):
                    h, w = np.delete(sizes, source)
                    cause = (
                        f"axis {axis} is an image of {sizes[source]} channels "
                        f"and {h}x{w}, flattened channels {now}, in the "
                        f"reference channels {then}"
                    )
                    found.append((abs(h - w), cause))
    return min(found)[1] if found else ""


def _sliced(a: NDArray, b: NDArray) -> str:
    """An axis whose slices changed places; or nothing."""
    if a.shape != b.shape or a.ndim < 2:
        return ""
    for axis in range(a.ndim):
        ours, theirs = (
            np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1) for x in (a, b)
        )
        if is_near(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)]):
            return f"the same slices along axis {axis} in another order"
    return ""


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
