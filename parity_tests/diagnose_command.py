"""``python -m parity_tests diagnose``."""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from experiment.config import Config
from experiment.errors import InputError
from experiment.recipes import RECIPES
from parity_tests.implementations import replay_implementation
from parity_tests.result import Result
from parity_tests.small import small_config, small_data, small_recipe
from parity_tests.trajectory import describe_config, load
from parity_tests.trajectory_commands import (
    add_choices,
    chosen,
    find_implementation,
    show,
)

# Commands import the frameworks that they need.


def add_diagnose(commands: Any) -> None:
    """Adds the command to a parser's."""
    command = commands.add_parser(
        "diagnose",
        help="see where the twins diverge after a fault, or where yours does",
        description="Names the first iteration, update and array where two "
        "implementations of a small game diverge, and how the error grows: "
        "the twins with a fault injected into PyTorch's, or the reference and "
        "another implementation. What was compared comes first: a port that "
        "takes no heed of k, say, is seen with --k 2 alone. Without options it "
        "lists the faults. replay does the same with a recording.",
        epilog="Example: python -m parity_tests diagnose --implementation "
        "mine:Game --recipe figure1 --k 2",
    )
    command.set_defaults(command=_diagnose)
    of = command.add_mutually_exclusive_group()
    of.add_argument("--fault", help="its name, or a part of it")
    of.add_argument(
        "--implementation",
        metavar="MODULE:OBJECT",
        help="of the protocol parity_tests.implementations.Implementation",
    )
    command.add_argument(
        "--recipe",
        default="mlp",
        help="of the game, whose layers are made small, for --implementation: "
        f"{', '.join(RECIPES)} (default: mlp)",
    )
    add_choices(command)
    command.add_argument(
        "--steps", type=int, default=10, help="iterations (default: 10)"
    )


def _diagnose(options: argparse.Namespace) -> int:
    from parity_tests.faults.base import MOST_STEPS

    if not 1 <= options.steps <= MOST_STEPS:
        raise InputError(
            f"--steps is {options.steps}: it must be from 1 to {MOST_STEPS}"
        )
    if options.implementation is not None:
        return _of_implementation(options)
    for name in chosen(options):
        raise InputError(
            f"--{name} is for --implementation: a fault has its own experiment"
        )
    return _of_fault(options)


def _of_fault(options: argparse.Namespace) -> int:
    """The twins, PyTorch's with a fault; that they diverge is no failure."""
    from parity_tests.faults import FAULTS
    from parity_tests.pair import check_twins

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
    config = small_config(**fault.config)
    print(f"Injected: {fault.name}")
    with fault.planted():
        result = check_twins(config, small_data(), options.steps)
    show(describe_config(config), result)
    if result.ok:
        print(f"It changes nothing: {fault.equivalent}")
    return 0


def _of_implementation(options: argparse.Namespace) -> int:
    """Records the reference with its state after every iteration; replays."""
    config = small_recipe(options.recipe, **chosen(options))
    result = _replayed(options, config)
    show(describe_config(config), result)
    return 0 if result.ok else 1


def _replayed(options: argparse.Namespace, config: Config) -> Result:
    from parity_tests.recording import record_recipe

    build = find_implementation(options.implementation)
    every = range(1, options.steps + 1)
    data = small_data(config)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "trajectory"
        record_recipe(config, data, options.steps, folder, every)
        return replay_implementation(load(folder), build)
