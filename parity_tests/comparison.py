"""The errors of all steps, and their bounds."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from experiment.errors import InputError
from parity_tests.measure import (
    difference,
    error_of,
    is_float,
    size_of,
    ulps_of,
)
from parity_tests.result import ArrayError, Divergence
from parity_tests.view import Arrays, Place

FLOOR = {"float64": 1e-12, "float32": 5e-7}  # of other precisions: COARSE
COARSE = 1e-2
# An array whose control is further away than this shows nothing any more.
MEANINGLESS = 1e-2


class Comparison:
    """Errors of all steps, and the bounds that the control sets."""

    def __init__(self, floor: float | None, factor: float):
        if not 0 <= factor < np.inf:
            raise InputError(f"factor is {factor}: it must be 0 or more")
        self.floor, self._factor = floor, factor
        self._rounding: dict[Place, float] = {}
        self._before: Arrays = {}
        self.worst: dict[Place, ArrayError] = {}
        self.divergences: dict[Place, Divergence] = {}
        self.growth: list[float] = []
        self.control: list[float] = []
        self.meaningless: dict[Place, str] = {}
        self.gradients = 0

    def start(self, initial: Arrays) -> None:
        """Takes the state before the first step."""
        self._before = initial
        if self.floor is None:
            floors = (
                FLOOR.get(array.dtype.name, COARSE)
                for array in initial.values()
                if is_float(array)
            )
            self.floor = max(floors, default=FLOOR["float64"])

    def require_finite(self, step: int, reference: Arrays) -> None:
        """Raises InputError if the reference has a number that is not."""
        for place, array in reference.items():
            if is_float(array) and not np.isfinite(array).all():
                when = f" in step {step}" if step else ""
                raise InputError(
                    f"{place.kind} {place.name} of the reference is not "
                    f"finite{when}"
                )

    def require_deterministic(self, first: Arrays, second: Arrays) -> None:
        """Raises InputError if a step from one state gave two results."""
        for place, array in first.items():
            error = error_of(second[place], array)
            if error > (self.floor or 0.0):
                raise InputError(
                    f"a step of a second reference from the same state gives "
                    f"another {place.kind} {place.name}, {error:.0e} away: the "
                    "reference must be deterministic, and what makes it must "
                    "give the same at each call"
                )

    def add_control(self, errors: Mapping[Place, float]) -> None:
        """Takes the errors of a step of the control."""
        self.control.append(max(errors.values(), default=0.0))
        for place, error in errors.items():
            self._rounding[place] = max(self._rounding.get(place, 0.0), error)

    def require_control(self) -> None:
        """Raises InputError if the control was never away."""
        if not any(self._rounding.values()):
            raise InputError(
                "the control is empty: the reference ends at the same numbers "
                "from weights that differ in the last place; does it use them?"
            )

    def add(self, step: int, reference: Arrays, port: Arrays) -> None:
        """Takes a step of both sides."""
        errors = [0.0]
        for place, array in reference.items():
            if place not in port:
                continue
            entry = self._entry(step, place, array, port[place])
            errors.append(entry.error)
            if self._shows_nothing(step, place):
                continue
            self.gradients += place.kind == "gradient"
            known = self.worst.get(place, entry)
            self.worst[place] = max(
                known, entry, key=lambda of: of.excess
            )._replace(absolute=max(known.absolute, entry.absolute))
            if entry.excess > 1 and place not in self.divergences:
                self.divergences[place] = Divergence(
                    entry,
                    place.phase,
                    array,
                    port[place],
                    self._before.get(place),
                    _moments_of(place, reference),
                )
        self.growth.append(max(errors))
        self._before = reference

    def _shows_nothing(self, step: int, place: Place) -> bool:
        """Whether the control of an array is, or was, too far away."""
        rounding = self._rounding.get(place, 0.0)
        if rounding > MEANINGLESS and place not in self.meaningless:
            self.meaningless[place] = (
                f"{place.kind} {place.name} from step {step} on: the control "
                f"is {rounding:.0e} away"
            )
        return place in self.meaningless

    def _entry(
        self, step: int, place: Place, ours: NDArray, theirs: NDArray
    ) -> ArrayError:
        """The error of an array and its bound."""
        if ours.shape != theirs.shape:
            raise InputError(
                f"{place.kind} {place.name} is {list(ours.shape)} in the "
                f"reference and {list(theirs.shape)} in the port"
            )
        bound = 0.0
        if is_float(ours):
            rounding = self._rounding.get(place, 0.0)
            bound = max(self.floor or 0.0, self._factor * rounding)
        apart = difference(theirs, ours)
        absolute = float(apart.max(initial=0))
        return ArrayError(
            place.kind,
            place.name,
            step,
            absolute / size_of(ours),
            absolute,
            ulps_of(apart, ours),
            bound,
        )


def rounding_of(other: Arrays, reference: Arrays) -> dict[Place, float]:
    """The errors of another reference, of rounded numbers."""
    return {
        place: error_of(other[place], array)
        for place, array in reference.items()
        if is_float(array) and place in other
    }


def _moments_of(place: Place, arrays: Arrays) -> dict[str, NDArray]:
    """What an optimizer keeps of weights, by slot."""
    if place.kind != "weights":
        return {}
    slots = {f"{place.name} ({slot})": slot for slot in ("m", "v")}
    return {
        slots[other.name]: array
        for other, array in arrays.items()
        if other.kind == "moments" and other.name in slots
    }
