"""What of a step is compared, the errors of all steps, and their bounds."""

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiment.errors import InputError
from parity_tests.measure import difference, error_of, is_float, ulps_of
from parity_tests.result import ArrayError, Divergence
from parity_tests.side import Event, Key, State, Taken

FLOOR = {"float64": 1e-12, "float32": 5e-7}  # of other precisions: COARSE
COARSE = 1e-2
# An array whose control is further away than this shows nothing any more.
MEANINGLESS = 1e-2


class Place(NamedTuple):
    """Where an array of a step stands."""

    phase: str
    kind: str
    name: str


Arrays = dict[Place, NDArray]


class View:
    """What of a step is compared, and in which order."""

    def __init__(
        self,
        metrics: dict[str, str],
        order: tuple[str, ...],
        ignore: tuple[str, ...],
    ):
        self._metrics, self._order, self._ignore = metrics, order, ignore
        self.left_out: dict[str, None] = {}

    def state(self, state: State) -> State:
        """The arrays of a state that are not ignored."""
        return {
            key: array
            for key, array in state.items()
            if not self._is_ignored(key, key.kind)
        }

    def _is_ignored(self, key: Key, kind: str) -> bool:
        if any(re.search(pattern, str(key)) for pattern in self._ignore):
            self.left_out[f"{key} ({kind}): ignored"] = None
            return True
        return False

    def _gradients(self, phase: str, event: Event) -> Arrays:
        return {
            Place(phase, "gradient", str(key)): array
            for key, array in event.gradients.items()
            if not self._is_ignored(key, "gradient")
        }

    def arrays(self, taken: Taken, state: State) -> Arrays:
        """All arrays of a step in the order of their making.

        Statistics come last: a forward pass of any update moves them.
        """
        found: Arrays = {}
        for name, value in taken.metrics.items():
            if name not in self._metrics:
                found[Place("step", "metric", name)] = value
        parts = [event.part for event in taken.events]
        for i, event in enumerate(taken.events):
            later = parts[i + 1 :].count(event.part)
            if later:  # a side may see the last one only
                phase = f"update of {event.part}, {later} before the last"
                found |= self._gradients(phase, event)
            else:
                found |= self._update(event.part, taken, state, event)
        for part in dict.fromkeys([*self._order, *(k.part for k in state)]):
            if part not in parts:
                found |= self._update(part, taken, state)
        for key, array in state.items():
            if key.kind == "statistics":
                found[Place("forward pass", key.kind, str(key))] = array
        return found

    def _update(
        self,
        part: str,
        taken: Taken,
        state: State,
        event: Event | None = None,
    ) -> Arrays:
        """The last update of a part: metrics, gradients, what it moved."""
        phase = f"update of {part}"
        found = {
            Place(phase, "metric", name): value
            for name, value in taken.metrics.items()
            if self._metrics.get(name) == part
        }
        if event:
            found |= self._gradients(phase, event)
        for kind in ("moments", "weights"):
            for key, array in state.items():
                if (key.part, key.kind) == (part, kind):
                    found[Place(phase, kind, str(key))] = array
        return found

    def require_same(self, ours: Arrays, theirs: Arrays) -> None:
        """Raises InputError if a metric is of one side; notes gradients."""
        for whose, only in (
            ("reference", ours.keys() - theirs.keys()),
            ("port", theirs.keys() - ours.keys()),
        ):
            for place in only:
                if place.kind != "gradient":
                    raise InputError(
                        f"the {whose} alone has the {place.kind} {place.name}: "
                        "give it in both, or in none"
                    )
                which = f"gradients, {place.phase}: the {whose} alone has them"
                self.left_out[which] = None


class Comparison:
    """Errors of all steps, and the bounds that the control sets."""

    def __init__(self, floor: float | None, factor: float):
        self.floor, self._factor = floor, factor
        self._rounding: dict[Place, float] = {}
        self._before: Arrays = {}
        self.worst: dict[Place, ArrayError] = {}
        self.divergences: dict[Place, Divergence] = {}
        self.growth: list[float] = []
        self.meaningless: dict[Place, str] = {}
        self.gradients = 0

    def start(self, initial: Arrays) -> None:
        """Takes the state before the first step."""
        self._before = initial
        if self.floor is None:
            self.floor = max(
                FLOOR.get(array.dtype.name, COARSE)
                for array in initial.values()
                if is_float(array)
            )

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

    @property
    def has_control(self) -> bool:
        """Whether the control was ever away from the reference."""
        return any(self._rounding.values())

    def add_control(self, reference: Arrays, control: Arrays) -> None:
        """Takes a step of the control."""
        for place, array in reference.items():
            if is_float(array) and place in control:
                error = error_of(control[place], array)
                so_far = self._rounding.get(place, 0.0)
                self._rounding[place] = max(so_far, error)

    def add(self, step: int, reference: Arrays, port: Arrays) -> None:
        """Takes a step of both sides."""
        errors = [0.0]
        for place, array in reference.items():
            if place not in port or place in self.meaningless:
                continue
            self.gradients += place.kind == "gradient"
            entry = self._entry(step, place, array, port[place])
            if entry is None:
                continue
            errors.append(entry.error)
            known = self.worst.get(place)
            if known is None or entry.excess > known.excess:
                self.worst[place] = entry
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

    def _entry(
        self, step: int, place: Place, ours: NDArray, theirs: NDArray
    ) -> ArrayError | None:
        """The error of an array and its bound; None if it shows nothing."""
        if ours.shape != theirs.shape:
            raise InputError(
                f"{place.kind} {place.name} is {list(ours.shape)} in the "
                f"reference and {list(theirs.shape)} in the port"
            )
        bound = 0.0
        if is_float(ours):
            rounding = self._rounding.get(place, 0.0)
            if rounding > MEANINGLESS:
                self.meaningless[place] = (
                    f"{place.kind} {place.name} from step {step} on: the "
                    f"control is {rounding:.0e} away"
                )
                return None
            bound = max(self.floor or 0.0, self._factor * rounding)
        return ArrayError(
            place.kind,
            place.name,
            step,
            error_of(theirs, ours),
            float(difference(theirs, ours).max(initial=0)),
            ulps_of(theirs, ours),
            bound,
        )


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
