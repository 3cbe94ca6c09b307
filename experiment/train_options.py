"""Options of ``train``, and what can be checked before a framework loads."""

import argparse
import os
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from experiment.checkpoints import has_checkpoint
from experiment.config import Config
from experiment.errors import InputError
from experiment.processes import ALONE, find_place, is_restart, require_even
from experiment.recipe_file import find_recipe
from experiment.recipes import DEFAULT, RECIPES

KEEP = 3  # checkpoints of a run
NEWEST = Path("the newest run")  # --resume without a folder
KNOWN = f"{', '.join(RECIPES)}, or a .json or .toml file of your own"


def add_config(parser: argparse.ArgumentParser) -> None:
    """An option for each field of Config, by its type and its help."""
    group = parser.add_argument_group("the experiment")
    for item in fields(Config):
        option: dict[str, Any] = {"help": item.metadata["help"]}
        known = get_args(item.type) if get_origin(item.type) is Literal else ()
        if item.name == "recipe":
            option["help"] += f": {KNOWN} (default: {DEFAULT})"
        elif get_origin(item.type) is tuple:
            option.update(type=int, nargs="+", metavar="N")
        elif known:
            option["metavar"] = "{" + ",".join(known) + "}"
        else:
            option["type"] = int if item.type is int else float
            option["metavar"] = "N" if item.type is int else "X"
        group.add_argument(f"--{item.name.replace('_', '-')}", **option)


def add_life(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    group = parser.add_argument_group("what is kept, and when it ends")
    group.add_argument(
        "--keep-checkpoints",
        metavar="{N,all}",
        help=f"how many of the last checkpoints stay (default: {KEEP}; a "
        "resumed run: as before)",
    )
    group.add_argument(
        "--checkpoint-minutes",
        type=float,
        metavar="X",
        help="a checkpoint also when the last one is older; default: every "
        "--sample-every iterations alone",
    )
    group.add_argument(
        "--max-hours",
        type=float,
        metavar="X",
        help="of training, then the run stops with a checkpoint and status "
        "124: for queues with a time limit, which should be some minutes more",
    )
    group.add_argument(
        "--on-nan",
        choices=("stop", "continue-from-checkpoint"),
        default="stop",
        metavar="{stop,continue-from-checkpoint}",
        help="when a number is not finite any more (default: stop)",
    )
    group.add_argument(
        "--reduce-learning-rate",
        type=float,
        metavar="X",
        help="factor of all learning rates when the run continues so "
        "(default: 0.5)",
    )


def check_life(options: argparse.Namespace) -> None:
    """Checks their values; ``keep_checkpoints`` becomes a number or all.

    Raises:
        InputError: a value is out of its range.
    """
    keep = options.keep_checkpoints
    if keep not in (None, "all"):
        if not (keep.isdecimal() and int(keep) >= 1):
            raise InputError(
                f"--keep-checkpoints {keep}: it must be a whole number, at "
                "least 1, or all"
            )
        options.keep_checkpoints = int(keep)
    for name in ("checkpoint_minutes", "max_hours"):
        value = getattr(options, name)
        if value is not None and not 0 < value < 1e6:
            raise InputError(
                f"--{name.replace('_', '-')} {value}: it must be a positive "
                "number, at most 1,000,000"
            )
    factor, stops = options.reduce_learning_rate, options.on_nan == "stop"
    if factor is not None and (stops or not 0 < factor < 1):
        raise InputError(
            f"--reduce-learning-rate {factor}: it must be between 0 and 1, and "
            "goes with --on-nan continue-from-checkpoint"
        )
    if factor is None and not stops:
        options.reduce_learning_rate = 0.5


def check_train(options: argparse.Namespace) -> None:
    """Checks what needs no data; adds ``changes``, and ``config`` if new.

    Raises:
        InputError: a value is out of its range, or two options contradict
            each other.
    """
    if options.resume and options.out:
        raise InputError(
            f"--out {options.out}: a resumed run stays in its folder, "
            f"{options.resume}; leave --out out"
        )
    if options.resume and options.initial_weights:
        raise InputError(
            f"--initial-weights {options.initial_weights}: a resumed run has "
            "its weights; leave one of the two out"
        )
    if options.devices is not None and not 1 <= options.devices <= 4096:
        raise InputError(
            f"--devices is {options.devices}: it must be from 1 to 4,096"
        )
    if options.epochs is not None and options.steps is not None:
        raise InputError(
            f"--epochs {options.epochs} and --steps {options.steps} both say "
            "how long: leave one out"
        )
    if options.epochs is not None and not 0 < options.epochs <= 1e6:
        raise InputError(
            f"epochs is {options.epochs}: it must be a positive number, at "
            "most 1,000,000"
        )
    check_life(options)
    values = {item.name: getattr(options, item.name) for item in fields(Config)}
    options.changes = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if value is not None
    }
    if options.resume is None:
        changes = dict(options.changes)
        config = find_recipe(changes.pop("recipe", DEFAULT), **changes)
        require_even(config.batch_size, options.devices or 1)
        options.config = config


def needs_processes(name: str, options: argparse.Namespace) -> bool:
    """Whether to start one process for each device: JAX drives all by one."""
    several = name == "torch_ref" and (options.devices or 1) > 1
    return several and find_place(name, os.environ) == ALONE


def resume_after_failure(options: argparse.Namespace) -> None:
    """Has a run that its launcher starts again resume the folder it began."""
    if not is_restart(os.environ):
        return
    if options.out and has_checkpoint(options.out):
        options.resume, options.out = options.out, None
        options.changes.pop("recipe", None)
