"""A side as ``check_pair`` runs it: misuse is told from a difference."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from experiment.errors import InputError
from parity_tests.side import (
    KINDS,
    Build,
    Event,
    Key,
    Side,
    State,
    Taken,
    as_taken,
    map_batch,
    neutral_path,
    unique,
)

Names = Mapping[str, str]


class Runner:
    """A side that is given copies, and whose arrays go by other names."""

    def __init__(self, name: str, build: Build, names: Names | None = None):
        """Makes the side.

        Args:
            name: of the side in messages.
            build: makes it.
            names: beginnings of part and path, and what takes their place.
        """
        self._name, self._names = name, names or {}
        self._weights: set[Key] = set()
        self._held: tuple[State, State] | None = None
        self._side: Side = self._guard("its construction", build)
        for method in ("step", "read", "write"):
            if not callable(getattr(self._side, method, None)):
                raise InputError(
                    f"the {name}'s function gave {self._side!r}, which has no "
                    f"method {method}: it must return a side"
                )

    def _guard(self, where: str, call: Callable[..., Any], *given: Any) -> Any:
        try:
            return call(*given)
        except Exception as error:
            error.add_note(f"In the {self._name}, {where}.")
            raise

    def step(self, batch: Any, number: int, whole: bool = True) -> Taken:
        """One step on a copy of a batch.

        Args:
            batch: of the step.
            number: of the step, from 1.
            whole: with what its optimizers were given, not metrics alone.

        Raises:
            InputError: it changed the batch, or what ``read`` gave before
                its first step; or it changed nothing; or a gradient is of no
                weight.
        """
        if number == 1:
            held = self.read(0)
            self._held = held, copy.deepcopy(held)
        given = copy.deepcopy(batch)
        taken = as_taken(self._guard(f"step {number}", self._side.step, given))
        if not _is_same(given, batch):
            raise InputError(
                f"the {self._name} changed its batch in step {number}: copy "
                "what it works on"
            )
        if not whole:
            return Taken(taken.metrics)
        if self._held:
            self._require_change(*self._held, number)
            self._held = None
        return Taken(taken.metrics, tuple(map(self._own, taken.events)))

    def _own(self, event: Event) -> Event:
        """An update under the names of the check."""
        items = [(self._key(k), array) for k, array in event.gradients.items()]
        gradients = unique(items, f"the {self._name}")
        for key in gradients:
            if key not in self._weights:
                raise InputError(
                    f"the {self._name} gives a gradient of {key} ({key.kind}), "
                    "which is no weight of its state: give it the weight's key"
                )
        return Event(event.part, gradients)

    def _key(self, key: Key) -> Key:
        """The name of an array in the check."""
        neutral = key._replace(path=neutral_path(key.path))
        return renamed(neutral, self._names)

    def _require_change(self, held: State, before: State, number: int) -> None:
        for key, array in held.items():
            if not np.array_equal(array, before[key], equal_nan=True):
                raise InputError(
                    f"the {self._name}'s read gives a view of {key} "
                    f"({key.kind}), which its step changes: return copies"
                )
        after = self.read(number)
        if after.keys() == before.keys() and all(
            np.array_equal(after[key], before[key]) for key in before
        ):
            raise InputError(f"a step of the {self._name} changes nothing")

    def read(self, number: int) -> State:
        """The state after a step.

        Raises:
            InputError: a name is no ``Key``, or two are the same.
        """
        state = self._guard(f"read after step {number}", self._side.read)
        for key in state:
            if not isinstance(key, Key) or key.kind not in KINDS:
                raise InputError(
                    f"the {self._name}'s state has the name {key!r}: it must "
                    f"be a Key whose kind is one of {', '.join(KINDS)}"
                )
        items = [(self._key(key), array) for key, array in state.items()]
        found = unique(items, f"the {self._name}")
        self._weights = {key for key in found if key.kind == "weights"}
        return found

    def write(self, state: State) -> None:
        """Puts arrays in place, of those that the side has.

        An array of another shape, which only one that is not compared can
        have, stays as it is.
        """
        own = {}
        for key, array in self._guard("read", self._side.read).items():
            new = state.get(self._key(key), array)
            own[key] = (new if new.shape == array.shape else array).copy()
        self._guard("write", self._side.write, own)


def renamed(key: Key, names: Names) -> Key:
    """The key with the beginning of its part and path replaced."""
    whole = f"{key.part}/{key.path}"
    for old, new in names.items():
        if f"{whole}/".startswith(f"{old}/"):
            part, _, path = (new + whole.removeprefix(old)).partition("/")
            return key._replace(part=part, path=path)
    return key


def _is_same(ours: Any, theirs: Any) -> bool:
    """Whether the arrays of two batches are equal."""
    leaves: tuple[list[Any], list[Any]] = [], []
    for batch, into in zip((ours, theirs), leaves, strict=True):
        map_batch(into.append, batch)
    return all(
        np.array_equal(a, b, equal_nan=np.asarray(b).dtype.kind in "fc")
        for a, b in zip(*leaves, strict=True)
    )
