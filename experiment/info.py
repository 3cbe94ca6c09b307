"""Prints a recipe or a run: every choice, the networks, what happened."""

import argparse
from dataclasses import asdict, fields
from pathlib import Path
from types import ModuleType

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from experiment import data as datasets
from experiment import run
from experiment.config import Config
from experiment.events import describe_events
from experiment.recipe_file import find_recipe
from experiment.recipes import starts_of
from experiment.watch import Collapse, describe_collapse


def info(twin: ModuleType, options: argparse.Namespace) -> int:
    """Shows every choice of a recipe or a run, and its networks."""
    config = (
        run.load_config(options.run)
        if options.run
        else find_recipe(options.recipe)
    )
    collapse = run.load_collapse(options.run) if options.run else None
    origin = run.load_origin(options.run) if options.run else None
    twin.select_device("auto", config)
    blank = np.zeros((1, *datasets.sample_shape(config)), config.dtype)
    state = twin.to_numpy(twin.create(config, blank))
    console = Console(soft_wrap=True)
    table = Table("choice", "value", "meaning", box=None)
    for item in fields(Config):
        table.add_row(
            item.name.replace("_", "-"),
            str(asdict(config)[item.name]),
            item.metadata["help"],
        )
    console.print(table)
    for side in ("generator", "discriminator"):
        prefix = f"{side}/params/"
        params = {k: v for k, v in state.items() if k.startswith(prefix)}
        total = sum(array.size for array in params.values())
        table = Table(side, "shape", "parameters", box=None)
        for name, array in params.items():
            shape = " x ".join(map(str, array.shape))
            table.add_row(name.removeprefix(prefix), shape, f"{array.size:,}")
        table.add_row("in all", "", f"{total:,}")
        console.print()
        console.print(table)
    if origin:
        path, iteration = origin
        print(f"\nInitial weights: of {path} after iteration {iteration:,}.")
    if starts := starts_of(config):
        print(f"\n{starts}.")
    print_collapse(collapse, config)
    if options.run:
        _print_events(options.run)
    return 0


def _print_events(folder: Path) -> None:
    table = Table("time", "event", "details", box=None)
    for event in describe_events(folder):
        table.add_row(*map(escape, event))
    if table.row_count:
        console = Console(soft_wrap=True)
        console.print()
        console.print(table)


def print_collapse(collapse: Collapse | None, config: Config) -> None:
    """Prints a collapse in words, if there is one."""
    if collapse:
        print(f"\nThis run {describe_collapse(collapse, config)}")
