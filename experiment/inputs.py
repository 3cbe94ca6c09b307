"""What a command reads, checked before a framework is loaded."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from experiment import run
from experiment.errors import InputError
from experiment.recipe_file import find_recipe
from experiment.train_options import NEWEST

_EMBEDDED = ("mnist5k", "gaussian")


def check_inputs(options: argparse.Namespace) -> None:
    """Raises an error for what a command would soon miss.

    Raises:
        InputError: a recipe is unknown, a folder is no run folder or has a
            damaged config, the data need a folder, or --out has something.
    """
    for folder in _run_folders(options):
        run.load_config(folder)
    if options.command == "info" and not options.run:
        find_recipe(options.recipe)
    if options.command == "train" and not options.resume:
        if options.config.data not in _EMBEDDED:
            require_data_dir(options.config.data, options.data_dir)
        if options.out and options.out.exists():
            run.require_empty(options.out)


def _run_folders(options: argparse.Namespace) -> Iterator[Path]:
    for name in ("run", "resume", "initial_weights"):
        given = getattr(options, name, None)
        if isinstance(given, list):  # of the command that takes two
            yield from given
        elif given is not None and given is not NEWEST:
            yield given


def require_data_dir(name: str, data_dir: Path | None) -> Path:
    """The folder of a set that is not embedded.

    Raises:
        InputError: none is given.
    """
    if data_dir is not None:
        return data_dir
    if name == "folder":
        raise InputError("data folder needs --data-dir: your own images")
    raise InputError(
        f"data {name} needs --data-dir: a folder in torchvision's layout, or "
        "any folder together with --download"
    )
