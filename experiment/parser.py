"""How every command of the project treats bad input: one line, status 2."""

import argparse
import errno
import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path
from signal import SIGINT, SIGPIPE
from typing import Any, NoReturn

from experiment.errors import InputError

_FULL = errno.ENOSPC, errno.EDQUOT, errno.EFBIG


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line; argparse prints its usage first."""

    def error(self, message: str) -> NoReturn:
        """Ends with status 2."""
        message = message.removeprefix("argument ")
        raise SystemExit(_fail(f"{message}; see {self.prog} --help"))


def add_data(parser: Any, required: bool = False) -> None:
    """Adds where data sets that are not embedded come from."""
    parser.add_argument(
        "--data-dir",
        type=Path,
        required=required,
        metavar="DIR",
        help="folder of mnist or fashion-mnist in torchvision's layout, or of "
        "your own images (data folder)",
    )
    parser.add_argument(
        "--download", action="store_true", help="fetch what is missing there"
    )


def add_images(parser: Any) -> None:
    """Adds how a folder of images is read."""
    parser.add_argument(
        "--skip-unreadable",
        action="store_true",
        help="data folder: leave out images that cannot be read, and say how "
        "many; without it they are an error",
    )


def add_device(parser: Any) -> None:
    """Adds where to compute."""
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "gpu"),
        default="auto",
        help="where to compute (default: auto, the best available)",
    )


def run_command(command: Callable[[], int]) -> int:
    """Runs a command and returns the exit status.

    That is the command's own, 2 on bad input (after one line on stderr), 128
    and the number of the signal that stopped it, 130 for Ctrl-C and 141 for
    the end of the reader of a pipe, or 124 after the time limit.
    """
    if isinstance(sys.stdout, TextIOWrapper):  # a terminal may have ASCII only
        sys.stdout.reconfigure(errors="replace")
    try:
        status = command()
        sys.stdout.flush()  # here a closed pipe is noticed
        return status
    except InputError as error:
        return _fail(str(error))
    except BrokenPipeError:  # as of ``| head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + SIGPIPE
    except OSError as error:
        if error.filename is not None:
            text = f"{error.filename}: {error.strerror}; take another path"
            return _fail(text)
        if error.errno in _FULL:
            return _fail(f"{error.strerror}: make space, or write elsewhere")
        raise
    except KeyboardInterrupt as stop:
        return getattr(stop, "status", 128 + SIGINT)


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2
