"""Files that one command at a time may work on."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from experiment.config import InputError


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Keeps other commands off ``path`` as long as the context lasts.

    The lock is on a file beside it, for ``path`` itself is replaced as it
    grows. It ends with its process, however that ends: a file that a killed
    one left beside locks nobody out.

    Raises:
        InputError: another process holds it.
    """
    beside = path.with_name(f"{path.name}.lock")
    file = _lock(beside, path)
    try:
        yield
    finally:
        beside.unlink(missing_ok=True)
        file.close()


def _lock(beside: Path, path: Path) -> TextIO:
    while True:
        file = beside.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise InputError(
                f"--out {path}: another command is at work on it; wait until "
                "it ends, or name another --out"
            ) from error
        # Its last holder may have removed it since it was opened.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), beside.stat()):
                return file
        file.close()
