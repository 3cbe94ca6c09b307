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
    unique,
)

Names = Mapping[str, str]


class Runner:
    """A side that is given copies, and whose arrays go by other names."""

    def __init__(self, name: str, build: Build, names: Names):
        """Makes the side.

        Args:
            name: of the side in messages.
            build: makes it.
            names: beginnings of part and path, and what takes their place.
        """
        self._name, self._names = name, names
        self._back = {new: old for old, new in names.items()}
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

    def step(self, batch: Any, number: int) -> Taken:
        """One step on a copy of a batch.

        Raises:
            InputError: it changed the batch, or in the first step what
                ``read`` gave before; or the first step changed nothing.
        """
        held = self.read(0) if number == 1 else {}
        before = copy.deepcopy(held)
        given = copy.deepcopy(batch)
        taken = as_taken(self._guard(f"step {number}", self._side.step, given))
        if not _is_same(given, batch):
            raise InputError(
                f"the {self._name} changed its batch in step {number}: copy "
                "what it works on"
            )
        if number == 1:
            self._require_change(held, before)
        events = [
            Event(
                event.part,
                {
                    renamed(key, self._names): array
                    for key, array in event.gradients.items()
                },
            )
            for event in taken.events
        ]
        return Taken(taken.metrics, tuple(events))

    def _require_change(self, held: State, before: State) -> None:
        for key, array in held.items():
            if not np.array_equal(array, before[key], equal_nan=True):
                raise InputError(
                    f"the {self._name}'s read gives a view of {key} "
                    f"({key.kind}), which its step changes: return copies"
                )
        after = self.read(1)
        if all(np.array_equal(after[key], before[key]) for key in before):
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
        items = [(renamed(key, self._names), a) for key, a in state.items()]
        return unique(items, f"the {self._name}")

    def write(self, state: State) -> None:
        """Puts arrays in place, of those that the side has.

        An array of another shape, which only one that is not compared can
        have, stays as it is.
        """
        whole = self.read(0)
        for key, array in state.items():
            if key in whole and whole[key].shape == array.shape:
                whole[key] = array
        own = {renamed(key, self._back): a.copy() for key, a in whole.items()}
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
