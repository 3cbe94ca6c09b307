"""Scalars of a run for TensorBoard, written before the call returns.

TensorBoard's own writer has a thread, in which a full disk is a traceback that
the run cannot prevent.
"""

import os
import socket
import time
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

_NUMBERS = count()  # two logs of a process in one second have two names


class ScalarLog:
    """One event file, from an iteration on."""

    def __init__(self, folder: Path, step: int):
        """Opens a new file; TensorBoard drops what others have after ``step``.

        Raises:
            OSError: it cannot be written.
        """
        folder.mkdir(exist_ok=True)
        place = f"{socket.gethostname()}.{os.getpid()}.{next(_NUMBERS):06d}"
        name = f"events.out.tfevents.{time.time():010.0f}.{place}"
        # Without a buffer, in which a failed write would wait for the next.
        self._file = (folder / name).open("wb", buffering=0)
        self._writer = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")
        start = SessionLog(status=SessionLog.START)
        self._write(step=step + 1, session_log=start)

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Adds the values at an iteration.

        Raises:
            OSError: they cannot be written.
        """
        values = [
            Summary.Value(tag=tag, simple_value=value)
            for tag, value in scalars.items()
        ]
        self._write(step=step, summary=Summary(value=values))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _write(self, **contents: Any) -> None:
        event = Event(wall_time=time.time(), **contents)
        self._writer.write(event.SerializeToString())
