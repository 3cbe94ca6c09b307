"""Saves the checkpoints of a run that trains."""

import math
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError

from experiment.checkpoints import newest_first, save_checkpoint
from experiment.errors import InputError
from experiment.events import add_event


class Saver:
    """Saves the checkpoints of a run and deletes the oldest.

    Training continues while a thread writes one; the next waits for it. A
    context, at whose end the last one is on the disk.

    Attributes:
        saved: iteration of the last one; None if there is none.
    """

    def __init__(
        self,
        folder: Path,
        about: Mapping[str, str],
        keep: int | None,
        minutes: float | None,
        saved: int | None,
    ):
        """Keeps what all its checkpoints share.

        Args:
            folder: of the run.
            about: of ``describe``.
            keep: checkpoints that stay; None for all.
            minutes: after which the next one is due; None for never.
            saved: iteration of the last checkpoint in the folder.
        """
        self._folder, self._about, self._keep = folder, about, keep
        self._seconds = math.inf if minutes is None else 60 * minutes
        self._at = time.monotonic()
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future | None = None
        self.saved = saved

    def __enter__(self) -> "Saver":
        """Writes from now on."""
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        """Waits, whatever ended the run.

        Raises:
            InputError: the last one could not be written, and nothing else
                is wrong.
        """
        self._writer.shutdown()
        if kind is None:
            self.wait()

    @property
    def due(self) -> bool:
        """Whether the last checkpoint is too long ago."""
        return time.monotonic() - self._at >= self._seconds

    def save(
        self, step: int, state: Mapping[str, NDArray], metrics: str
    ) -> None:
        """Saves the state after ``step`` iterations.

        Args:
            step: iterations so far.
            state: of a twin's ``to_numpy``: copies, which nobody changes.
            metrics: digest of the metrics so far.

        Raises:
            InputError: the one before could not be written; says which one
                is left.
        """
        self.wait()
        about = {**self._about, "metrics": metrics}
        self._writing = self._writer.submit(self._write, step, state, about)
        self._at = time.monotonic()

    def wait(self) -> None:
        """Waits until the last checkpoint is on the disk.

        Raises:
            InputError: it could not be written; says which one is left.
        """
        if self._writing:
            writing, self._writing = self._writing, None
            writing.result()

    def _write(
        self,
        step: int,
        state: Mapping[str, NDArray],
        about: Mapping[str, str],
    ) -> None:
        try:
            save_checkpoint(self._folder, step, state, about)
            paths = newest_first(self._folder)
            for path in paths[self._keep or len(paths) :]:
                path.unlink()
        except (OSError, SafetensorError) as error:
            add_event(self._folder, "failed", iteration=step)
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(
                f"the checkpoint of iteration {step} could not be written to "
                f"{self._folder} ({reason}): {self._left()}"
            ) from error
        self.saved = step
        add_event(self._folder, "checkpoint", iteration=step)

    def _left(self) -> str:
        if self.saved is None or not newest_first(self._folder):
            return "none is left; retrain from scratch"
        return (
            f"that of iteration {self.saved} is whole; make space, then "
            f"continue by --resume {self._folder}"
        )
