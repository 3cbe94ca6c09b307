"""``python -m parity_tests check | report | diagnose | record | ...``."""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from experiment.errors import InputError
from experiment.parser import Parser, run_command
from parity_tests.check_command import add_check
from parity_tests.diagnose import Parting, accounts_of_twins, diagnose
from parity_tests.injected import add_causes
from parity_tests.replay import drive
from parity_tests.small import small_config, small_data
from parity_tests.trajectory_commands import (
    add_goldens,
    add_record,
    add_replay,
    find_implementation,
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
        _add_diagnose,
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


def _add_diagnose(commands: Any) -> None:
    command = commands.add_parser(
        "diagnose",
        help="see where the twins diverge after a fault, or where yours does",
        description="Names the first iteration, phase and tensor where two "
        "implementations of a small game diverge, and how the error grows: "
        "the twins with a fault injected into PyTorch's, or the reference "
        "and another implementation. Without options it lists the faults.",
        epilog="Example: python -m parity_tests diagnose --fault 'b2 is .9991'",
    )
    command.set_defaults(command=_diagnose)
    of = command.add_mutually_exclusive_group()
    of.add_argument("--fault", help="its name, or a part of it")
    of.add_argument(
        "--implementation",
        metavar="MODULE:OBJECT",
        help="of the protocol parity_tests.replay.Implementation",
    )
    command.add_argument(
        "--recipe",
        default="mlp",
        help="of the small game, for --implementation: mlp (default) or dcgan",
    )
    command.add_argument(
        "--steps", type=int, default=10, help="iterations (default: 10)"
    )


def _diagnose(options: argparse.Namespace) -> int:
    from parity_tests.faults import FAULTS
    from parity_tests.faults.base import MOST_STEPS

    if not 1 <= options.steps <= MOST_STEPS:
        raise InputError(
            f"--steps is {options.steps}: it must be from 1 to {MOST_STEPS}"
        )
    if options.implementation is not None:
        found = _diagnose_implementation(options)
        print(found or f"{options.implementation} and the reference agree")
        return 1 if found else 0
    if options.fault is None:
        for fault in FAULTS:
            print(f"{fault.group}: {fault.name}")
        return 0
    named = [fault for fault in FAULTS if options.fault in fault.name]
    named = [fault for fault in named if options.fault == fault.name] or named
    if len(named) != 1:
        raise InputError(
            f"--fault {options.fault!r} is in the names of {len(named)} "
            "faults, not of one; python -m parity_tests diagnose lists them"
        )
    (fault,) = named
    print(f"Injected: {fault.name}")
    with fault.planted():
        accounts = accounts_of_twins(
            small_config(**fault.config), small_data(), options.steps
        )
        found = diagnose(accounts)
    print(found or f"The twins do not diverge: {fault.equivalent}")
    return 0


def _diagnose_implementation(options: argparse.Namespace) -> Parting | None:
    """Records the reference with its state after every iteration; drives."""
    from parity_tests.faults.base import DCGAN
    from parity_tests.recording import record

    changes = {"mlp": {}, "dcgan": DCGAN}.get(options.recipe)
    if changes is None:
        raise InputError(
            f"--recipe {options.recipe!r} has no small game; known: mlp, dcgan"
        )
    implementation = find_implementation(options.implementation)
    every = range(1, options.steps + 1)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "trajectory"
        config = small_config(**changes)
        record(config, small_data(), options.steps, folder, every)
        return diagnose(
            (ours, theirs) for _, ours, theirs in drive(folder, implementation)
        )


if __name__ == "__main__":
    sys.exit(main())
