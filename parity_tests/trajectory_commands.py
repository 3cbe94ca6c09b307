"""``python -m parity_tests record | replay | goldens``."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from experiment.config import Config
from experiment.data import load as load_data
from experiment.errors import InputError
from experiment.parser import add_data, add_images
from experiment.recipes import RECIPES, recipe
from parity_tests.container import GAN
from parity_tests.implementations import replay_implementation
from parity_tests.named import find
from parity_tests.recorded import replay_recording
from parity_tests.result import Result
from parity_tests.trajectory import (
    describe_config,
    load_any,
    trajectory_of,
)

TOLERANCE = 1e-12  # of golden files, in float64
# Choices of a recipe that a port can fail to heed.
_CHOICES = ("k", "loss", "optimizer")


def add_choices(command: argparse.ArgumentParser) -> None:
    """Adds the options that change what is trained."""

    def known(name: str) -> str:
        of = get_args(Config.__dataclass_fields__[name].type)
        return f"in place of the recipe's: {', '.join(of)}"

    command.add_argument(
        "--k", type=int, help="discriminator steps, in place of the recipe's"
    )
    command.add_argument("--loss", help=known("loss"))
    command.add_argument("--optimizer", help=known("optimizer"))


def chosen(options: argparse.Namespace) -> dict[str, Any]:
    """Those of them that were given."""
    found = {name: getattr(options, name) for name in _CHOICES}
    return {name: value for name, value in found.items() if value is not None}


def show(about: str, result: Result) -> None:
    """Prints what was compared, then the verdict."""
    print(about, result.coverage, result.verdict, sep="\n")


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
    add_choices(command)
    command.add_argument(
        "--batch-size", type=int, metavar="M", help="in place of the recipe's"
    )
    command.add_argument(
        "--seed", type=int, help="of the weights and of the stream"
    )
    command.add_argument(
        "--precision", default="float64", help="float64 (default) or float32"
    )
    command.add_argument(
        "--lockstep",
        action="store_true",
        help="a replay starts again from every recorded state",
    )
    sets = get_args(Config.__dataclass_fields__["data"].type)
    command.add_argument("--data", help=f"data set: {', '.join(sets)}")
    add_data(command)
    add_images(command)


def _record(options: argparse.Namespace) -> int:
    from parity_tests.recording import record_recipe

    names = ("batch_size", "seed", "precision", "data")
    changes = {name: getattr(options, name) for name in names}
    given = {name: v for name, v in changes.items() if v is not None}
    config = recipe(options.recipe, **given, **chosen(options))
    data = load_data(
        config, options.data_dir, options.download, options.skip_unreadable
    )
    record_recipe(
        config, data, options.steps, options.out, lockstep=options.lockstep
    )
    print(options.out)
    return 0


def add_replay(commands: Any) -> None:
    """Adds the command to a parser's."""
    command = commands.add_parser(
        "replay",
        help="check an implementation against a recording",
        description="Starts an implementation from the recorded state, gives "
        "it the recorded batches, and says what was compared and where it "
        "diverges from the reference first. The bound of an array is 1e-12 in "
        "float64 and 5e-7 in float32, or 100 times what rounding did to the "
        "reference itself. Ends with status 1 if it diverges.",
        epilog="Example: python -m parity_tests replay "
        "parity_tests/goldens/mlp --implementation "
        "parity_tests.implementations:Jax",
    )
    command.set_defaults(command=_replay)
    command.add_argument(
        "folder", type=Path, metavar="DIR", help="the recording"
    )
    command.add_argument(
        "--implementation",
        default="parity_tests.nnx_replay:NNX",
        metavar="MODULE:OBJECT",
        help="a class, or a function, that takes nothing and gives a side (see "
        "parity_tests/README.md), or an object of the protocol "
        "parity_tests.implementations.Implementation "
        "(default: parity_tests.nnx_replay:NNX)",
    )


def _replay(options: argparse.Namespace) -> int:
    recording = load_any(options.folder)
    if recording.index["schema"] == GAN:
        trajectory = trajectory_of(recording)
        about = describe_config(trajectory.config)
        build = find_implementation(options.implementation)
        result = replay_implementation(trajectory, build)
    else:
        about = f"Recording {options.folder}"
        build = find(options.implementation, "--implementation")
        result = replay_recording(recording, build)
    show(about, result)
    return 0 if result.ok else 1


def find_implementation(name: str) -> Callable[[], Any]:
    """What ``module:object`` names: it makes an implementation, or a side.

    Raises:
        InputError: there is no such object, or it makes neither.
    """
    build = find(name, "--implementation")
    try:
        found = build()
    except TypeError as error:
        raise InputError(
            f"--implementation {name} cannot be called without arguments "
            f"({error}): give a class or a function that can"
        ) from error
    wanted = "load_state", "iterate", "read_state"
    if not hasattr(found, "load_state") and hasattr(found, "write"):
        wanted = "step", "read", "write"
    for method in wanted:
        if not callable(getattr(found, method, None)):
            raise InputError(
                f"--implementation {name} has no method {method}: see "
                "parity_tests.implementations.Implementation"
            )
    return build


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
