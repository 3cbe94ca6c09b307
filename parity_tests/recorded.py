"""Any side, replayed against a recording."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from experiment.errors import InputError
from parity_tests.check import Check
from parity_tests.comparison import Comparison
from parity_tests.container import Recording, load_recording, part_of
from parity_tests.control import Errors
from parity_tests.keys import key_of
from parity_tests.result import Result
from parity_tests.runner import Names, Runner
from parity_tests.side import Build, Event, Key, State, Taken, map_batch
from parity_tests.view import Arrays, Place, View

_NOT_OF_BATCHES = ("metrics/", "state/", "gradients/")


def replay(
    folder: Path,
    port: Build,
    *,
    names: Names | None = None,
    floor: float | None = None,
    factor: float = 100,
    ignore: Sequence[str] = (),
) -> Result:
    """Checks a port against a recorded reference.

    The bounds are those of ``check_pair``, with the control that was recorded.

    Args:
        folder: the recording.
        port: makes the side that is checked.
        names: as ``check_pair``'s.
        floor: as ``check_pair``'s.
        factor: as ``check_pair``'s.
        ignore: as ``check_pair``'s.

    Raises:
        InputError: the recording is damaged; it has no control, as older ones
            have none, and is not of float64; or as ``check_pair``.
    """
    return replay_recording(
        load_recording(folder),
        port,
        names=names,
        floor=floor,
        factor=factor,
        ignore=ignore,
    )


def replay_recording(
    recording: Recording,
    port: Build,
    *,
    metrics: Mapping[str, str] | None = None,
    order: Sequence[str] = (),
    names: Names | None = None,
    floor: float | None = None,
    factor: float = 100,
    ignore: Sequence[str] = (),
) -> Result:
    """``replay`` of a recording that is loaded.

    ``metrics`` and ``order`` are of recordings whose index has none.
    """
    index = recording.index
    control = RecordedControl(index["control"]) if "control" in index else None
    dtypes = {dtype for dtype, _ in recording.layouts[0].values()}
    if not control and floor is None and {"float32", "float16"} & dtypes:
        raise InputError(
            f"{recording.folder} has no control, without which float32 shows "
            "nothing: record it again"
        )
    view = View(
        index.get("metrics", metrics), index.get("order", order), ignore
    )
    check = Check(
        Runner("reference", lambda: Recorded(recording)),
        port,
        names,
        control,
        view,
        Comparison(floor, factor),
        index.get("lockstep", False),
        recording.states,
    )
    steps = range(1, recording.steps + 1)
    return check.run(batch_of(recording, step) for step in steps)


class Recorded:
    """A reference on disk as a side."""

    def __init__(self, recording: Recording):
        """Stands before the first step."""
        self._recording, self._step = recording, 0
        self._tensors = recording.read(0)

    def step(self, batch: Any) -> Taken:
        """What the reference gave in the next step."""
        self._step += 1
        self._tensors = self._recording.read(self._step)
        gradients = part_of("gradients/", self._tensors)
        if not gradients:
            return Taken(part_of("metrics/", self._tensors))
        updates = self._recording.index.get("updates")
        events = (
            Event(
                part,
                {_weight(n): gradients[n] for n in gradients if n in names},
            )
            for part, names in (updates or _by_part(gradients)).items()
        )
        return Taken(part_of("metrics/", self._tensors), tuple(events))

    def read(self) -> State:
        """The state that was recorded after this step."""
        state = part_of("state/", self._tensors)
        return {key_of(name): array.copy() for name, array in state.items()}

    def write(self, state: Mapping[Key, NDArray]) -> None:
        """Nothing can be written to what has been.

        Raises:
            InputError: always.
        """
        raise InputError("a recording runs from its own state alone")


def _weight(name: str) -> Key:
    part, _, path = name.partition("/")
    return Key("weights", part, path)


def _by_part(gradients: Mapping[str, NDArray]) -> dict[str, list[str]]:
    """The updates of a recording that does not say them: one of each part."""
    updates: dict[str, list[str]] = {}
    for name in sorted(gradients):
        updates.setdefault(name.partition("/")[0], []).append(name)
    return updates


class RecordedControl:
    """The errors of a control that ran when the reference did."""

    def __init__(self, rows: Sequence[Sequence[Sequence[Any]]]):
        """Takes phase, kind, name and error of each step from an index."""
        self._errors = [
            {Place(*place): float(error) for *place, error in of_step}
            for of_step in rows
        ]

    def write(self, state: State, number: int) -> None:
        """Did so when it ran."""

    def errors(
        self, number: int, batch: Any, reference: Arrays, whole: bool
    ) -> Errors:
        """As ``Control``."""
        return self._errors[number - 1]


def batch_of(recording: Recording, step: int) -> Any:
    """The batch of a step; of this project's GAN, flat."""
    tensors = recording.read(step)
    if "batch" in recording.index:
        arrays = part_of("batch/", tensors)
        return map_batch(lambda name: arrays[name], recording.index["batch"])
    return {
        name: array
        for name, array in tensors.items()
        if not name.startswith(_NOT_OF_BATCHES)
    }
