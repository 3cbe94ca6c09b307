"""Files that are whole at every moment, whenever a program is stopped."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def read_text(path: Path) -> str:
    """The text of a file; a named pipe, which has no end, is none.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no text.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    return path.read_text(encoding="utf-8")


def replace_text(path: Path, text: str) -> None:
    """Writes a text, which then takes the place of a file."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, whose file then takes the place of ``path``.

    It is on the disk before it does: after a power failure there is the old
    file or the new one, and either is whole. If writing fails, nothing is left
    of the new one: a full disk has its space again.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        partial.touch()
        mode = partial.stat().st_mode  # as the user's umask has it
        yield partial
        # The writer may have replaced it by a file that only the user can read.
        partial.chmod(mode)
        sync(partial)
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
