"""Saves the checkpoints of a run that trains."""

import math
import time
from collections.abc import Mapping
from pathlib import Path

from numpy.typing import NDArray
from safetensors import SafetensorError

from experiment.checkpoints import newest_first, save_checkpoint
from experiment.errors import InputError
from experiment.events import add_event


class Saver:
    """Saves the checkpoints of a run and deletes the oldest.

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
        self.saved = saved

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
            state: of a twin's ``to_numpy``.
            metrics: digest of the metrics so far.

        Raises:
            InputError: it cannot be written; says which one is left.
        """
        about = {**self._about, "metrics": metrics}
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
        self.saved, self._at = step, time.monotonic()
        add_event(self._folder, "checkpoint", iteration=step)

    def _left(self) -> str:
        if self.saved is None or not newest_first(self._folder):
            return "none is left; retrain from scratch"
        return (
            f"that of iteration {self.saved} is whole; make space, then "
            f"continue by --resume {self._folder}"
        )
