"""How far two sets of arrays are apart."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from parity_tests.keys import key_of
from parity_tests.measure import difference, is_float

Arrays = dict[str, NDArray]


class Gap(NamedTuple):
    """The largest absolute difference, and the leaf that has it."""

    error: float
    name: str

    def __str__(self) -> str:
        """The error and where it is."""
        return f"{self.error:.1e} at {self.name}"


NO_GAP = Gap(0.0, "nowhere")


def gap(ours: Mapping[str, NDArray], theirs: Mapping[str, NDArray]) -> Gap:
    """The largest difference between two flat dicts of arrays.

    Before it compares values it makes sure that the comparison means
    something: the same names, shapes and types, numbers that are finite, and
    memory that is not shared.

    Raises:
        AssertionError: one of these does not hold; the message has the name.

    Example:
        >>> print(gap({"w": np.array([1.0, 2.0])}, {"w": np.array([1.0, 2.5])}))
        5.0e-01 at w
    """
    if ours.keys() != theirs.keys():
        names = sorted(ours.keys() ^ theirs.keys())
        raise AssertionError(f"names differ: {names}")
    worst = NO_GAP
    for name, a in ours.items():
        b = theirs[name]
        _require_comparable(name, a, b)
        error = float(difference(a, b).max(initial=0))
        worst = max(worst, Gap(error, name))
    return worst


def by_kind(
    ours: Mapping[str, NDArray], theirs: Mapping[str, NDArray]
) -> dict[str, Gap]:
    """The gaps of two states on disk: of weights, moments and statistics.

    A kind that the game does not have is left out.

    Raises:
        AssertionError: as ``gap``.
        InputError: a name is of no known kind.
    """
    kinds = {name: key_of(name).kind for name in {**ours, **theirs}}

    def of_kind(kind: str, state: Mapping[str, NDArray]) -> Arrays:
        return {n: array for n, array in state.items() if kinds[n] == kind}

    return {
        kind: gap(of_kind(kind, ours), of_kind(kind, theirs))
        for kind in dict.fromkeys(kinds.values())
    }


def _require_comparable(name: str, a: NDArray, b: NDArray) -> None:
    if a.shape != b.shape:
        raise AssertionError(f"{name}: {a.shape} is not {b.shape}")
    if a.dtype != b.dtype:
        raise AssertionError(f"{name}: {a.dtype} is not {b.dtype}")
    for whose, array in (("ours", a), ("theirs", b)):
        if is_float(array) and not np.isfinite(array).all():
            raise AssertionError(f"{name}: {whose} is not finite")
    if np.shares_memory(a, b):
        raise AssertionError(f"{name}: compared with itself")
