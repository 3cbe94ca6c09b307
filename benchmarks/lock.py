"""A lock on a file, so that one command at a time writes it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from experiment.errors import InputError


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Locks ``path`` against other commands within the context.

    The lock is on a file next to it, because ``path`` itself is replaced as it
    grows. The system releases it when the process ends, even if it is killed:
    a lock file that is left over locks nobody out.

    Raises:
        InputError: another process holds it.
    """
    lock_file = path.with_name(f"{path.name}.lock")
    file = _lock(lock_file, path)
    try:
        yield
    finally:
        lock_file.unlink(missing_ok=True)
        file.close()


def _lock(lock_file: Path, path: Path) -> TextIO:
    while True:
        file = lock_file.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise InputError(
                f"--out {path}: another command is writing it; wait until it "
                "ends, or name another --out"
            ) from error
        # Its last holder may have removed it since it was opened.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), lock_file.stat()):
                return file
        file.close()
