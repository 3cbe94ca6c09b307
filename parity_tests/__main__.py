"""``python -m parity_tests check | report | devices | diagnose | ...``."""

import argparse
import sys
from pathlib import Path
from typing import Any

from experiment.parser import Parser, run_command
from experiment.recipes import RECIPES
from parity_tests.check_command import add_check
from parity_tests.diagnose_command import add_diagnose
from parity_tests.injected import add_causes
from parity_tests.trajectory_commands import (
    add_goldens,
    add_record,
    add_replay,
)

# Commands import the frameworks that they need: replay needs those of the
# implementation and no other.


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns the exit status.

    0 when it is done, 1 when an implementation, a golden or a test level
    differs by too much, 2 on bad input (after one line on stderr), 130 when the
    user stopped it. It is 0 too when an injected fault makes the twins diverge.
    """
    options = _parser().parse_args(arguments)
    return run_command(lambda: options.command(options))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m parity_tests",
        description="Checks two implementations of a training step against "
        "each other: this project's GAN in JAX and in PyTorch, other "
        "implementations of it, or a pair of your own.",
        epilog="Start with: python -m parity_tests replay "
        "parity_tests/goldens/mlp",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands_of = (
        add_check,
        _add_report,
        _add_devices,
        add_diagnose,
        add_record,
        add_replay,
        add_goldens,
        add_causes,
    )
    for add in commands_of:
        add(commands)
    return parser


def _add_report(commands: Any) -> None:
    command = commands.add_parser(
        "report",
        help="run every test level and write the report",
        description="Runs every test level, the slow ones too (half an hour "
        "on two cores), measures every injected fault, and writes parity.json, "
        "REPORT.md, report.html, drift.png and TRAPS.md.",
    )
    command.set_defaults(command=_report)
    _add_folder(command)


def _add_folder(command: Any) -> None:
    command.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parent / "report",
        metavar="DIR",
        help="folder (default: parity_tests/report, the committed one)",
    )


def _report(options: argparse.Namespace) -> int:
    from parity_tests.report import report

    return report(options.out)


def _add_devices(commands: Any) -> None:
    command = commands.add_parser(
        "devices",
        help="compare games on several devices with one device",
        description="Trains every recipe, with both of the paper's losses and "
        "k = 1 and 2, on 2 and 4 virtual devices of JAX, by 2 processes of 2 "
        "devices of JAX, and by 2 and 4 processes of PyTorch, and compares "
        "each game with that of one device of either twin. Injects faults of "
        "several devices. Writes devices.json after every recipe, where other "
        "recipes stay, and its table into the report, if there is one. Ends "
        "with status 1 if a game exceeds its bound, or a fault is not "
        "detected.",
        epilog="Start with: python -m parity_tests devices --recipes figure1 "
        "--out runs/devices",
    )
    command.set_defaults(command=_devices)
    command.add_argument(
        "--recipes",
        nargs="+",
        default=list(RECIPES),
        choices=list(RECIPES),
        metavar="RECIPE",
        help="one or more of: %(choices)s (default: all)",
    )
    _add_folder(command)


def _devices(options: argparse.Namespace) -> int:
    from parity_tests.devices_table import measure
    from parity_tests.report import write_again

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    names = list(dict.fromkeys(options.recipes))
    ok = measure(names, options.out, say)
    write_again(options.out)
    return int(not ok)


if __name__ == "__main__":
    sys.exit(main())
