"""``python -m parity_tests check``: a pair of the user's own."""

import argparse
from pathlib import Path
from typing import Any

from experiment.errors import InputError
from parity_tests.check import check_pair
from parity_tests.named import find


def add_check(commands: Any) -> None:
    """Adds the command to a parser's."""
    command = commands.add_parser(
        "check",
        help="check two implementations of a training step of your own",
        description="Runs a reference and a port from the same state on the "
        "same batches, and compares metrics, gradients and state after every "
        "step. Ends with status 1 if they differ by more than rounding does.",
        epilog="Example, with functions of a file mine.py in this folder: "
        "python -m parity_tests check mine:reference mine:port --batches "
        "mine:batches --html result.html",
    )
    command.set_defaults(command=_check)
    command.add_argument(
        "reference",
        metavar="REFERENCE",
        help="module:function that takes nothing and gives a side: see "
        "parity_tests/README.md",
    )
    command.add_argument("port", metavar="PORT", help="likewise")
    command.add_argument(
        "--batches",
        required=True,
        metavar="MODULE:FUNCTION",
        help="takes nothing and gives the batches, one for each step: NumPy "
        "arrays in dicts, lists or tuples",
    )
    command.add_argument(
        "--lockstep",
        action="store_true",
        help="judge each step alone, from the reference's state",
    )
    command.add_argument(
        "--name",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="what the reference calls OLD is NEW in the port, such as "
        "model/net/0=model/Dense/0; may be repeated",
    )
    command.add_argument(
        "--ignore",
        action="append",
        default=[],
        metavar="REGEX",
        help="arrays that are not compared; may be repeated",
    )
    command.add_argument(
        "--factor",
        type=float,
        default=100,
        help="how many times the rounding of the reference is allowed "
        "(default: 100)",
    )
    command.add_argument(
        "--html", type=Path, metavar="FILE", help="a page with every array"
    )


def _check(options: argparse.Namespace) -> int:
    reference = find(options.reference, "REFERENCE")
    port = find(options.port, "PORT")
    batches = find(options.batches, "--batches")
    names = {}
    for pair in options.name:
        old, equals, new = pair.partition("=")
        if not (old and equals and new):
            raise InputError(f"--name {pair!r} is not OLD=NEW")
        names[old] = new
    result = check_pair(
        reference,
        port,
        batches(),
        names=names,
        factor=options.factor,
        lockstep=options.lockstep,
        ignore=options.ignore,
    )
    print(result)
    if options.html:
        result.html(options.html)
        print(options.html)
    return 0 if result.ok else 1
