"""The control: how far rounding alone drives a reference from itself.

Training amplifies rounding. Where two runs of one implementation, apart in the
last bit of their initial weights or in the order of their sums, end further
apart than a bound, no port could keep it; then the control takes its place.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from parity_tests.comparison import rounding_of
from parity_tests.measure import one_ulp_away
from parity_tests.runner import Runner
from parity_tests.side import Build, State
from parity_tests.view import Arrays, Place, View, take_step

Permute = Callable[[Any], Any]
Errors = Mapping[Place, float]


class Control(Protocol):
    """What a check is told about rounding, step by step."""

    def write(self, state: State, number: int) -> None:
        """Starts from the reference's state after a step."""

    def errors(
        self, number: int, batch: Any, reference: Arrays, whole: bool
    ) -> Errors:
        """How far the arrays of a step are from the reference's."""


class LiveControl:
    """Further references on the same batches."""

    def __init__(
        self,
        reference: Build,
        view: View,
        count: int,
        permute: Permute | None = None,
    ):
        """Makes the references.

        Args:
            reference: makes one.
            view: what is compared.
            count: of those whose weights are one unit in the last place away.
            permute: a batch with its examples in another order, for one more.
        """
        self._view = view
        self._moved = [Runner("control", reference) for _ in range(count)]
        self._permuted = (
            [(Runner("permuted control", reference), permute)]
            if permute
            else []
        )

    def write(self, state: State, number: int) -> None:
        """As ``Control``.

        Raises:
            InputError: the reference has no weight to move.
        """
        for i, runner in enumerate(self._moved):
            runner.write(one_ulp_away(state, number, i))
        for runner, _ in self._permuted:
            runner.write(state)

    def errors(
        self, number: int, batch: Any, reference: Arrays, whole: bool
    ) -> Errors:
        """The largest of all references, of rounded numbers."""
        runs = [(runner, batch) for runner in self._moved]
        runs += [(runner, permute(batch)) for runner, permute in self._permuted]
        found: dict[Place, float] = {}
        for runner, given in runs:
            other = take_step(runner, self._view, given, number, whole)
            for place, error in rounding_of(other, reference).items():
                found[place] = max(found.get(place, 0.0), error)
        return found
