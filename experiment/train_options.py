"""Options of ``train``: what can be checked before a framework is loaded."""

import argparse
import os
from dataclasses import fields

from experiment.config import Config
from experiment.errors import InputError
from experiment.processes import ALONE, find_place, require_even
from experiment.recipe_file import find_recipe
from experiment.recipes import DEFAULT


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
