"""How every command of the project treats bad input: one line, status 2."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from signal import SIGINT
from typing import Any, NoReturn

from experiment.errors import InputError


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


def run_command(command: Callable[[], int]) -> int:
    """Runs a command and returns the exit status.

    That is the command's own, 2 on bad input (after one line on stderr), or
    128 and the number of the signal that stopped it: 130 for Ctrl-C.
    """
    try:
        return command()
    except InputError as error:
        return _fail(str(error))
    except OSError as error:
        if error.filename is None:
            raise
        return _fail(f"{error.filename}: {error.strerror}; take another path")
    except KeyboardInterrupt as stop:
        return 128 + getattr(stop, "number", SIGINT)


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2
