"""``python -m parity_tests record | replay | goldens``."""

import argparse
from pathlib import Path
from typing import Any, get_args

from rich.console import Console
from rich.table import Table

from experiment.config import Config
from experiment.data import load as load_data
from experiment.errors import InputError
from experiment.parser import add_data
from experiment.recipes import RECIPES, recipe
from parity_tests.compare import NO_GAP
from parity_tests.named import find
from parity_tests.replay import Implementation, Row, replay
from parity_tests.trajectory import load

TOLERANCE = 1e-12  # of float64; float32 has none: rounding errors grow


def add_record(commands: Any) -> None:
    """Adds the command to a parser's."""
    command = commands.add_parser(
        "record",
        help="write a trajectory of the reference",
        description="Runs the PyTorch reference and writes its initial state, "
        "every batch and every metric, and at iterations 1, 2, 3, 10, 100 and "
        "the last one gradients, weights, moments and statistics. index.json "
        "in the folder explains all of them.",
        epilog="Example: python -m parity_tests record --recipe lecture "
        "--steps 10 --out runs/trajectory",
    )
    command.set_defaults(command=_record)
    command.add_argument(
        "--recipe", default="mlp", help=f"{', '.join(RECIPES)} (default: mlp)"
    )
    command.add_argument(
        "--steps", type=int, required=True, help="iterations of Algorithm 1"
    )
    command.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="new folder"
    )
    command.add_argument(
        "--batch-size", type=int, metavar="M", help="in place of the recipe's"
    )
    command.add_argument(
        "--seed", type=int, help="of the weights and of the stream"
    )
    command.add_argument(
        "--precision", default="float64", help="float64 (default) or float32"
    )
    sets = get_args(Config.__dataclass_fields__["data"].type)
    command.add_argument("--data", help=f"data set: {', '.join(sets)}")
    add_data(command)


def _record(options: argparse.Namespace) -> int:
    from parity_tests.recording import record

    names = ("batch_size", "seed", "precision", "data")
    changes = {name: getattr(options, name) for name in names}
    given = {name: v for name, v in changes.items() if v is not None}
    config = recipe(options.recipe, **given)
    data = load_data(config, options.data_dir, options.download)
    record(config, data, options.steps, options.out)
    print(options.out)
    return 0


def add_replay(commands: Any) -> None:
    """Adds the command to a parser's."""
    command = commands.add_parser(
        "replay",
        help="drive an implementation through a trajectory",
        description="Starts an implementation from the recorded state, gives "
        "it the recorded batches and prints how far it is from the "
        "reference. Ends with status 1 if an error of a float64 trajectory "
        f"is above {TOLERANCE:.0e}.",
        epilog="Example: python -m parity_tests replay "
        "parity_tests/goldens/mlp --implementation "
        "parity_tests.implementations:Jax",
    )
    command.set_defaults(command=_replay)
    command.add_argument(
        "folder", type=Path, metavar="DIR", help="the trajectory"
    )
    command.add_argument(
        "--implementation",
        default="parity_tests.nnx_replay:NNX",
        metavar="MODULE:OBJECT",
        help="a class, or a function, that takes nothing and gives an object "
        "of the protocol parity_tests.replay.Implementation "
        "(default: parity_tests.nnx_replay:NNX)",
    )


def _replay(options: argparse.Namespace) -> int:
    trajectory = load(options.folder)
    rows = replay(options.folder, find_implementation(options.implementation))
    console = Console(soft_wrap=True, highlight=False)
    console.print(_table(rows, trajectory.states))
    worst = max(rows, key=lambda row: row.gap)
    console.print(
        f"largest: {worst.gap}, {worst.kind} after iteration {worst.step}"
    )
    if trajectory.config.precision != "float64":
        console.print("float32 has no bound: record in float64 to judge")
        return 0
    beyond = [row for row in rows if row.gap.error > TOLERANCE]
    for row in beyond[:1]:
        console.print(
            f"above {TOLERANCE:.0e} first: {row.gap}, {row.kind} after "
            f"iteration {row.step}"
        )
    return 1 if beyond else 0


def _table(rows: list[Row], states: tuple[int, ...]) -> Table:
    """A line for each recorded state; metrics are the worst since the last."""
    kinds = list(dict.fromkeys(row.kind for row in rows))
    table = Table("iteration", *kinds, box=None)
    before = 0
    for step in states:
        worst = dict.fromkeys(kinds, NO_GAP)
        for row in rows:
            if before < row.step <= step:
                worst[row.kind] = max(worst[row.kind], row.gap)
        before = step
        table.add_row(
            str(step), *(f"{found.error:.1e}" for found in worst.values())
        )
    return table


def find_implementation(name: str) -> Implementation:
    """The object that ``module:object`` gives when it is called.

    Raises:
        InputError: there is no such object, or it is not an implementation.
    """
    build = find(name, "--implementation")
    try:
        found = build()
    except TypeError as error:
        raise InputError(
            f"--implementation {name} cannot be called without arguments "
            f"({error}): give a class or a function that can"
        ) from error
    for method in ("load_state", "iterate", "read_state"):
        if not callable(getattr(found, method, None)):
            raise InputError(
                f"--implementation {name} has no method {method}: see "
                "parity_tests.replay.Implementation"
            )
    return found


def add_goldens(commands: Any) -> None:
    """Adds the command to a parser's."""
    command = commands.add_parser(
        "goldens",
        help="record the committed trajectories again and compare",
        description="Records the trajectories of parity_tests/goldens "
        "again and prints how far the committed ones are from them. Ends with "
        f"status 1 if that is more than {TOLERANCE:.0e}.",
    )
    command.set_defaults(command=_goldens)
    command.add_argument(
        "--write",
        action="store_true",
        help="put the new ones in their place instead",
    )


def _goldens(options: argparse.Namespace) -> int:
    from parity_tests.goldens import FOLDER, rebuild_goldens

    found = rebuild_goldens(options.write)
    for name, value in found.items():
        print(f"{FOLDER.name}/{name}: {value}")
    return int(max(found.values()).error > TOLERANCE)
