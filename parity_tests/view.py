"""What of a step is compared, in the order of its making."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from numpy.typing import NDArray

from experiment.errors import InputError
from parity_tests.runner import Runner
from parity_tests.side import Event, Key, State, Taken


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
        metrics: Mapping[str, str] | None,
        order: Sequence[str],
        ignore: Sequence[str],
    ):
        self._metrics, self._order = dict(metrics or {}), tuple(order)
        self._ignore = tuple(ignore)
        self.left_out: dict[str, None] = {}
        for pattern in ignore:
            try:
                re.compile(pattern)
            except re.error as error:
                raise InputError(
                    f"ignore {pattern!r} is no regular expression ({error})"
                ) from error

    def require_known(self, state: State, metrics: Iterable[str]) -> None:
        """Raises InputError for a part or a metric that there is none of."""
        parts = dict.fromkeys(key.part for key in state)
        for part in (*self._order, *self._metrics.values()):
            if part not in parts:
                raise InputError(
                    f"the reference has no part {part!r}, which order or "
                    f"metrics names; it has {', '.join(parts)}"
                )
        for name in self._metrics.keys() - metrics:
            raise InputError(
                f"metrics names {name!r}, which the first step does not give"
            )

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
        of_state = (key.part for key in state)
        for part in (*self._order, *of_state, *self._metrics.values()):
            if part not in parts:
                parts.append(part)
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
        """Raises InputError if an array is of one side.

        A side may see no gradients of an update; that is noted.
        """
        of_gradients = [
            {place for place in arrays if place.kind == "gradient"}
            for arrays in (ours, theirs)
        ]
        if all(of_gradients) and not set.intersection(*of_gradients):
            raise InputError(
                "no gradient of the reference has the name and part of one of "
                f"the port: {min(of_gradients[0]).name} is of "
                f"{min(of_gradients[0]).phase}, {min(of_gradients[1]).name} "
                f"of {min(of_gradients[1]).phase}"
            )
        for whose, only, other in (
            ("reference", ours.keys() - theirs.keys(), theirs),
            ("port", theirs.keys() - ours.keys(), ours),
        ):
            seen = {of.phase for of in other if of.kind == "gradient"}
            for place in sorted(only):
                if place.kind != "gradient" or place.phase in seen:
                    raise InputError(
                        f"the {whose} alone has the {place.kind} {place.name} "
                        f"({place.phase}): give it in both, or in none"
                    )
                which = f"gradients, {place.phase}: the {whose} alone has them"
                self.left_out[which] = None


def take_step(
    runner: Runner, view: View, batch: Any, number: int, whole: bool
) -> Arrays:
    """What a step of a side is compared by: all of it, or its metrics."""
    taken = runner.step(batch, number, whole)
    state = view.state(runner.read(number)) if whole else {}
    return view.arrays(taken, state)
