"""How far two sets of arrays are apart."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# The kinds of a game's state, by the part of a name that tells them.
KINDS = {
    "weights": "/params/",
    "moments": "/optimizer/",
    "statistics": "/statistics/",
}


Arrays = dict[str, NDArray]


class Account(NamedTuple):
    """What one iteration left behind in one implementation, by name."""

    metrics: Arrays
    gradients: Arrays
    state: Arrays  # weights, statistics and moments


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
    assert ours.keys() == theirs.keys(), (
        f"names differ: {sorted(ours.keys() ^ theirs.keys())}"
    )
    worst = NO_GAP
    for name, a in ours.items():
        b = theirs[name]
        assert np.isfinite(a).all(), f"{name}: ours is not finite"
        assert np.isfinite(b).all(), f"{name}: theirs is not finite"
        assert a.shape == b.shape, f"{name}: {a.shape} is not {b.shape}"
        assert a.dtype == b.dtype, f"{name}: {a.dtype} is not {b.dtype}"
        assert not np.shares_memory(a, b), f"{name}: compared with itself"
        error = float(np.abs(a - b).max(initial=0))
        worst = max(worst, Gap(error, name))
    return worst


def by_kind(
    ours: Mapping[str, NDArray], theirs: Mapping[str, NDArray]
) -> dict[str, Gap]:
    """The gaps of two states: of weights, moments and statistics.

    A kind that the game does not have is left out.

    Raises:
        AssertionError: as ``gap``.
    """
    found = {}
    for kind, part in KINDS.items():
        mine = {name: array for name, array in ours.items() if part in name}
        other = {name: array for name, array in theirs.items() if part in name}
        if mine or other:
            found[kind] = gap(mine, other)
    return found
