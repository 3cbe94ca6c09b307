"""A lock on a file or a folder, so that one process at a time writes it."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from experiment.errors import InputError

LOCK = "lock"  # of a folder, in it


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Locks ``path`` against other processes within the context.

    The lock is on a file in the folder, or next to the file, which itself is
    replaced as it grows. That file says who holds it. The system releases the
    lock when the process ends, even if it is killed: a lock file that is left
    over locks nobody out.

    Raises:
        InputError: another process holds it, or the file system has no locks.
    """
    with _held(path, fcntl.LOCK_NB):
        yield


@contextmanager
def hold_in_turn(path: Path) -> Iterator[None]:
    """Locks ``path`` as ``hold`` does, once no other process holds it.

    Raises:
        InputError: the file system has no locks.
    """
    with _held(path, 0):
        yield


@contextmanager
def _held(path: Path, how: int) -> Iterator[None]:
    lock_file = _lock_file(path)
    file = _lock(lock_file, path, how)
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    try:
        yield
    finally:
        lock_file.unlink(missing_ok=True)
        file.close()


def is_held(path: Path) -> bool:
    """Whether a process holds the lock of ``path``."""
    lock_file = _lock_file(path)
    if not lock_file.is_file():
        return False
    try:
        with lock_file.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _lock_file(path: Path) -> Path:
    return path / LOCK if path.is_dir() else path.with_name(f"{path.name}.lock")


def _lock(lock_file: Path, path: Path, how: int) -> TextIO:
    if lock_file.exists() and not lock_file.is_file():
        raise InputError(f"{lock_file} is not a file: remove it")
    while True:
        file = lock_file.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | how)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise InputError(
                f"{path}: {holder} is writing it; wait until it ends, or name "
                "another"
            ) from error
        except OSError as error:
            file.close()
            raise InputError(
                f"{lock_file} cannot be locked ({error.strerror}): choose a "
                "place on another file system"
            ) from error
        # Its last holder may have removed it since it was opened.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), lock_file.stat()):
                return file
        file.close()
