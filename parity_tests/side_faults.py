"""Faults that wrap any side: does a check of this pair see them?

A check that never fails shows nothing. ``check_faults`` lets the reference be
its own port, with one fault at a time, and says by how much each is detected.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiment.errors import InputError
from parity_tests.check import check_pair
from parity_tests.result import Divergence
from parity_tests.side import Build, Key, Metrics, Side, State, Taken, map_batch


class _Wrapped:
    """A side as it is; faults change one method."""

    def __init__(self, side: Side):
        self.side = side

    def step(self, batch: Any) -> Metrics | Taken:
        return self.side.step(batch)

    def read(self) -> State:
        return self.side.read()

    def write(self, state: Mapping[Key, NDArray]) -> None:
        self.side.write(state)


class _LateBatch(_Wrapped):
    """Takes the batch of the step before; in the first step the right one."""

    last: Any = None

    def step(self, batch: Any) -> Metrics | Taken:
        late, self.last = self.last, batch
        return self.side.step(batch if late is None else late)


class _HalfBatch(_Wrapped):
    """Takes the first half of the examples twice."""

    def step(self, batch: Any) -> Metrics | Taken:
        return self.side.step(map_batch(_doubled_half, batch))


def _doubled_half(array: Any) -> Any:
    if not isinstance(array, np.ndarray) or not array.ndim or len(array) < 2:
        return array
    return array[np.arange(len(array)) % (len(array) // 2)]


class _Moved(_Wrapped):
    """Moves the state of a step once more, by a rule of before and after."""

    kind = "weights"

    def changed(self, before: NDArray, after: NDArray) -> NDArray:
        raise NotImplementedError

    def step(self, batch: Any) -> Metrics | Taken:
        before = self.side.read()
        given = self.side.step(batch)
        state = self.side.read()
        for key, array in state.items():
            if key.kind == self.kind and array.dtype.kind == "f":
                new = self.changed(before[key], array)
                state[key] = new.astype(array.dtype)
        self.side.write(state)
        return given


class _LongerStep(_Moved):
    """The learning rate is .1 % too large."""

    def changed(self, before: NDArray, after: NDArray) -> NDArray:
        return before + 1.001 * (after - before)


class _Decay(_Moved):
    """Weights decay by 1e-6 a step."""

    def changed(self, before: NDArray, after: NDArray) -> NDArray:
        return after - 1e-6 * before


class _StaleStatistics(_Moved):
    """Running statistics stay as they began."""

    kind = "statistics"

    def changed(self, before: NDArray, after: NDArray) -> NDArray:
        return before


class _SlowMoments(_Moved):
    """Moments take in .1 % less than they should: b1 or b2 is too large."""

    kind = "moments"

    def changed(self, before: NDArray, after: NDArray) -> NDArray:
        return before + 0.999 * (after - before)


class _ForgottenMoments(_Moved):
    """Moments start at zero in every step."""

    kind = "moments"

    def changed(self, before: NDArray, after: NDArray) -> NDArray:
        return 0 * after


class _RoundedWeights(_Moved):
    """Weights pass through the next coarser precision."""

    def changed(self, before: NDArray, after: NDArray) -> NDArray:
        coarse = np.float32 if after.dtype == np.float64 else np.float16
        return after.astype(coarse)


FAULTS: dict[str, Callable[[Side], Side]] = {
    "the batch of the step before": _LateBatch,
    "the first half of a batch, twice": _HalfBatch,
    "a learning rate .1 % too large": _LongerStep,
    "a weight decay of 1e-6": _Decay,
    "statistics that stay": _StaleStatistics,
    "moments that take in .1 % less": _SlowMoments,
    "moments that are forgotten": _ForgottenMoments,
    "weights rounded to the next coarser precision": _RoundedWeights,
}


class Detection(NamedTuple):
    """What a check made of a fault.

    Attributes:
        fault: its name.
        first: what differs first, or None if nothing does.
    """

    fault: str
    first: Divergence | None

    @property
    def margin(self) -> float:
        """The first error over its bound; 0 if nothing differs."""
        return self.first.entry.excess if self.first else 0.0

    def __str__(self) -> str:
        """One line for a person."""
        if self.first is None:
            return f"{self.fault}: not detected"
        return (
            f"{self.fault}: {self.margin:.0e} times the bound in {self.first}"
        )


def check_faults(
    reference: Build,
    batches: Iterable[Any],
    faults: Mapping[str, Callable[[Side], Side]] = FAULTS,
    **options: Any,
) -> list[Detection]:
    """Whether a check of this reference detects faults.

    Args:
        reference: makes the side, a fresh one at each call.
        batches: as ``check_pair``'s.
        faults: by name, what makes a faulty side of a right one.
        **options: of ``check_pair``.

    Returns:
        A line for each fault that a side of this kind can have: statistics
        that stay need statistics.

    Raises:
        InputError: the reference does not even agree with itself.
    """
    given = list(batches)
    itself = check_pair(reference, reference, given, **options)
    if not itself.ok:
        raise InputError(f"the reference does not agree with itself: {itself}")
    found = []
    for name, wrap in faults.items():
        kind = getattr(wrap, "kind", None)
        if kind and not itself.coverage.arrays[kind]:
            continue

        def port(wrap: Callable[[Side], Side] = wrap) -> Side:
            return wrap(reference())

        result = check_pair(reference, port, given, **options)
        found.append(Detection(name, result.first))
    return found
