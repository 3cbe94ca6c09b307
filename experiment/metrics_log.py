"""The metrics of a run: one line for each iteration, no more and no fewer."""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiment.errors import InputError
from experiment.files import replace_text, sync
from experiment.tensorboard_log import ScalarLog


class MetricsLog:
    """Metrics of every iteration, appended to a run folder.

    Those that cannot be written are kept, and written with the next.
    """

    def __init__(
        self,
        folder: Path,
        step: int,
        say: Callable[[str], None],
        digest: str | None = None,
    ):
        """Opens the log at ``step`` and drops what was written after it.

        Args:
            folder: of the run.
            step: iterations so far.
            say: takes a line on what is damaged or cannot be written.
            digest: of the log at that iteration, if it is known.
        """
        self._path, self._say = folder / "metrics.jsonl", say
        self._scalars: ScalarLog | None = None
        with self._optional():
            self._scalars = ScalarLog(folder / "tensorboard", step)
        self._pending = b""
        self._complained = False
        rows = _rows(self._path)
        kept = _lines(row for row in rows if row["step"] <= step)
        self._hash = hashlib.sha256(kept)
        if digest not in (None, self.digest):
            say(
                f"{self._path} is damaged or was edited: what is left of the "
                "metrics is kept, and the curves may be wrong"
            )
        if rows:
            replace_text(self._path, kept.decode())
        self._size = len(kept)  # of the whole lines

    @property
    def digest(self) -> str:
        """A digest of all lines, those that are still to be written too."""
        return self._hash.hexdigest()

    def append(self, history: Mapping[str, NDArray]) -> None:
        """Adds iterations; TensorBoard gets their mean.

        Args:
            history: one value an iteration in each column, among them
                ``step``; nan, where nothing was measured, is left out.
        """
        columns = {k: v for k, v in history.items() if k != "step"}
        rows = []
        for i, step in enumerate(history["step"].tolist()):
            row = {name: float(v[i]) for name, v in columns.items()}
            kept = {k: v for k, v in row.items() if not np.isnan(v)}
            rows.append({"step": step, **kept})
        lines = _lines(rows)
        self._hash.update(lines)
        self._pending += lines
        try:
            self._write()
        except OSError as error:
            if not self._complained:
                self._say(
                    f"metrics cannot be written to {self._path} "
                    f"({error.strerror}): training continues, and they are "
                    "written when they can be"
                )
            self._complained = True
        means = {name: float(np.nanmean(v)) for name, v in columns.items()}
        if self._scalars:
            with self._optional():
                self._scalars.add(step, means)

    def sync(self) -> None:
        """Waits until the metrics are on the disk."""
        with suppress(OSError):
            sync(self._path)

    def close(self) -> None:
        """Closes TensorBoard's file."""
        if self._scalars:
            self._scalars.close()

    def _write(self) -> None:
        """Writes what is pending after the last whole line."""
        with self._path.open("ab") as file:
            file.truncate(self._size)
            file.write(self._pending)
        self._size += len(self._pending)
        self._pending = b""

    @contextmanager
    def _optional(self) -> Iterator[None]:
        """Gives TensorBoard up when it cannot be written."""
        try:
            yield
        except OSError as error:
            self._scalars = None
            self._say(
                f"TensorBoard's events cannot be written ({error.strerror}): "
                "training continues without them"
            )


def load_metrics(folder: Path) -> dict[str, NDArray[np.float64]]:
    """Metrics of a run folder, one array over the iterations for each.

    Where an iteration lacks one, it is nan. No iterations, no arrays.

    Raises:
        InputError: ``metrics.jsonl`` is something else than a file.
    """
    rows = _rows(folder / "metrics.jsonl")
    names = dict.fromkeys([*rows[0], "sample_spread"] if rows else [])
    return {
        name: np.array([row.get(name, np.nan) for row in rows])
        for name in names
    }


_NEEDED = {
    "step",
    "discriminator_loss",
    "generator_loss",
    "real_probability",
    "fake_probability",
}


def _rows(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, in order; what is damaged or doubled is left out."""
    if not path.exists():
        return []
    if not path.is_file():  # a named pipe would never end
        raise InputError(f"{path} is not a file: remove it")
    rows, last = [], 0
    for line in path.read_text(errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        known = isinstance(row, dict) and row.keys() >= _NEEDED
        if not known or not all(map(_is_number, row.values())):
            continue
        if isinstance(row["step"], int) and row["step"] > last:
            rows.append(row)
            last = row["step"]
    return rows


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
