"""Recording of any side."""

from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from pathlib import Path
from typing import Any

import numpy as np

from experiment.errors import InputError
from parity_tests.comparison import Comparison
from parity_tests.container import (
    ANY,
    VERSIONS,
    Tensors,
    prefixed,
    write_recording,
)
from parity_tests.control import LiveControl
from parity_tests.keys import name_of
from parity_tests.runner import Runner
from parity_tests.side import Build, State, Taken, leaves_of, map_named
from parity_tests.view import Arrays, View, take_step

_ALONE = "array"  # the name of a batch that is one array


def record(
    reference: Build,
    batches: Iterable[Any],
    folder: Path,
    *,
    states_at: Collection[int] | None = None,
    lockstep: bool = False,
    metrics: Mapping[str, str] | None = None,
    order: Sequence[str] = (),
) -> None:
    """Runs a reference and writes what it did, for ``replay``.

    A control runs next to it, and the index keeps its errors: they are the
    bounds of a replay.

    Args:
        reference: makes the side, a fresh one at each call.
        batches: one for each step: arrays in dicts, lists and tuples.
        folder: where to; it must not exist.
        states_at: steps after which gradients and state are written; the last
            one always is. By default all.
        lockstep: a replay gives the port the recorded state at each of them.
        metrics: as ``check_pair``'s.
        order: as ``check_pair``'s.

    Raises:
        InputError: the folder exists or cannot be made, a batch or the state
            has what is no array, or the reference is at fault (see
            ``check_pair``).
    """
    recorder = Recorder(reference, states_at, lockstep, metrics, order)
    write_recording(
        folder,
        recorder.run(batches),
        lambda: {
            "schema": ANY,
            "version": VERSIONS[ANY],
            **recorder.index(),
            "batch": recorder.structure,
        },
    )


class Recorder:
    """A reference and its control, as they are written."""

    def __init__(
        self,
        reference: Build,
        states_at: Collection[int] | None,
        lockstep: bool,
        metrics: Mapping[str, str] | None,
        order: Sequence[str],
        path: Callable[[str], str] = str,
    ):
        """As ``record``; ``path`` is that of a key on disk."""
        self._path = path
        self._build, self._states_at = reference, states_at
        self._lockstep, self._metrics, self._order = lockstep, metrics, order
        self._view = View(metrics, order, ())
        self._comparison = Comparison(None, 0.0)
        self._errors: list[list[list[Any]]] = []
        self._states: list[int] = []
        self._updates: dict[str, dict[str, None]] = {}
        self.structure: Any = None

    def run(
        self, batches: Iterable[Any], prefix: str = "batch/"
    ) -> Iterator[Tensors]:
        """The tensors of each step, from 0; the prefix is of the batch's."""
        runner = Runner("reference", self._build)
        control = LiveControl(self._build, self._view, 1)
        initial = runner.read(0)
        self._comparison.start(self._view.arrays(Taken({}), initial))
        control.write(initial, 0)
        yield self._of_state(initial)
        number = 0
        for number, (batch, last) in enumerate(_with_last(batches), start=1):
            whole = last or self._states_at is None or number in self._states_at
            taken = runner.step(batch, number, whole)
            state = runner.read(number) if whole else {}
            arrays = self._view.arrays(taken, state)
            self._comparison.require_finite(number, arrays)
            if number == 1:
                self._view.require_known(initial, taken.metrics)
                self._require_deterministic(initial, arrays, batch, whole)
            errors = control.errors(number, batch, arrays, whole)
            self._comparison.add_control(errors)
            self._errors.append([[*of, e] for of, e in errors.items() if e])
            if whole:
                self._states.append(number)
                if self._lockstep:
                    control.write(state, number)
            yield self._tensors(prefix, batch, taken, state)
        if number == 0:
            raise InputError("there is no batch: give at least one")
        self._comparison.require_control()

    def _require_deterministic(
        self, initial: State, arrays: Arrays, batch: Any, whole: bool
    ) -> None:
        second = Runner("second reference", self._build)
        second.write(initial)
        again = take_step(second, self._view, batch, 1, whole)
        self._comparison.require_deterministic(arrays, again)

    def _tensors(
        self, prefix: str, batch: Any, taken: Taken, state: State
    ) -> Tensors:
        _require_plain(batch)
        found: Tensors = {}
        for path, array in leaves_of(batch):
            name = path or _ALONE
            if np.asarray(array).dtype.kind not in "biuf":
                raise InputError(
                    f"the batch's {name} is {array!r}: a recording holds "
                    "arrays of numbers"
                )
            if f"{prefix}{name}" in found:
                raise InputError(f"a batch has two arrays named {name}")
            found[f"{prefix}{name}"] = np.asarray(array)
        structure = structure_of(batch)
        if self.structure not in (None, structure):
            raise InputError(
                f"a batch is {structure} and one before it {self.structure}: "
                "all must have the same names"
            )
        self.structure = structure
        found |= prefixed("metrics/", taken.metrics)
        for event in taken.events:  # of several of a part the last stays
            names = self._updates.setdefault(event.part, {})
            for key, array in event.gradients.items():
                name = f"{key.part}/{self._path(key.path)}"
                names[name] = None
                found[f"gradients/{name}"] = array
        return found | self._of_state(state)

    def _of_state(self, state: State) -> Tensors:
        return {
            f"state/{name_of(key._replace(path=self._path(key.path)))}": array
            for key, array in state.items()
        }

    def index(self) -> dict[str, Any]:
        """What a replay is told."""
        return {
            "steps": len(self._errors),
            "states": self._states,
            "lockstep": self._lockstep,
            "metrics": dict(self._metrics or {}),
            "order": list(self._order),
            "updates": {part: list(of) for part, of in self._updates.items()},
            "control": self._errors,
        }


def structure_of(batch: Any) -> Any:
    """The batch with names in place of its arrays.

    Example:
        >>> structure_of({"x": 1, "masks": [2, 3]})
        {'x': 'x', 'masks': ['masks/0', 'masks/1']}
    """
    return map_named(lambda name, _: name or _ALONE, batch)


def _require_plain(batch: Any) -> None:
    """Makes sure that a batch is of what a JSON file can describe."""
    if hasattr(batch, "_fields"):
        raise InputError(
            f"a batch has a {type(batch).__name__}: a recording gives back "
            "dicts and tuples"
        )
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    if isinstance(batch, list | tuple):
        for inside in batch:
            _require_plain(inside)


def _with_last(items: Iterable[Any]) -> Iterator[tuple[Any, bool]]:
    """Items, each with whether it is the last."""
    before: list[Any] = []
    for item in items:
        if before:
            yield before.pop(), False
        before.append(item)
    if before:
        yield before.pop(), True
