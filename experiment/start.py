"""What a run needs before its first iteration, new or resumed."""

import argparse
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiment import data as datasets
from experiment import run
from experiment.config import Config
from experiment.errors import InputError
from experiment.processes import Place, is_restart, require_even
from experiment.restore import restored, with_weights

# What may differ between a run and its continuation.
_FREE_ON_RESUME = ("steps", "sample_every")


def _resumed_config(folder: Path, changes: dict[str, Any]) -> Config:
    """The config of a run folder, with the changes that a run may take."""
    config = run.load_config(folder)
    for name, value in changes.items():
        before = getattr(config, name)
        if value != before and name not in _FREE_ON_RESUME:
            option = name.replace("_", "-")
            raise InputError(
                f"--{option} {value} is not that of {folder}, which has "
                f"{option} {before}: leave it out, or retrain from scratch"
            )
    return replace(config, **changes)


def resume_after_failure(options: argparse.Namespace) -> None:
    """Has a run that its launcher starts again resume the folder it began."""
    if not is_restart(os.environ):
        return
    if options.out and (options.out / "checkpoint.safetensors").exists():
        options.resume, options.out = options.out, None
        options.changes.pop("recipe", None)


class Inputs(NamedTuple):
    """What a run reads before it starts.

    Attributes:
        config: the experiment.
        data: its training set.
        step: iterations so far.
        state: the weights to start from, if not those of the seed: all of a
            game's arrays to resume, or those of ``--initial-weights``.
        origin_step: the iteration of ``--initial-weights``.
    """

    config: Config
    data: NDArray[np.floating]
    step: int
    state: dict[str, NDArray] | None
    origin_step: int


def load_inputs(options: argparse.Namespace) -> Inputs:
    """Reads and checks all that a run needs.

    Raises:
        InputError: something is missing, damaged or does not fit.
    """
    config = (
        _resumed_config(options.resume, options.changes)
        if options.resume
        else options.config
    )
    data = datasets.load(config, options.data_dir, options.download)
    if options.epochs is not None:
        steps = options.epochs * len(data) / (config.k * config.batch_size)
        config = replace(config, steps=max(1, round(steps)))
    if options.accelerate and config.stream == "device":
        raise InputError(
            f"--accelerate {options.accelerate}: a stream on the device has "
            "its own training loop; leave it out, or take --stream shared"
        )
    if options.initial_weights:
        origin_step, state = run.load_checkpoint(options.initial_weights)
        return Inputs(config, data, 0, state, origin_step)
    if not options.resume:
        return Inputs(config, data, 0, None, 0)
    step, state = run.load_checkpoint(options.resume)
    if step >= config.steps:
        raise InputError(
            f"--steps is {config.steps}, and {options.resume} has {step} "
            "iterations already: give a larger --steps"
        )
    collapse = run.load_collapse(options.resume)
    if collapse and options.stop_when_collapsed:
        raise InputError(
            f"{options.resume} {collapse}. To resume all the same, leave "
            "--stop-when-collapsed out"
        )
    return Inputs(config, data, step, state, 0)


class Start(NamedTuple):
    """Device, game and variant of ``train`` of a run."""

    device: Any
    game: Any
    train: Callable


def create_game(
    twin: ModuleType, options: argparse.Namespace, place: Place, inputs: Inputs
) -> Start:
    """Creates the game on all devices.

    Raises:
        InputError: the devices are not there or cannot share a minibatch, or
            the state is not of this game.
    """
    config, data, _, state, _ = inputs
    chosen = twin.select_device(options.device, config)
    device = twin.spread(chosen, place, options.devices)
    require_even(config.batch_size, twin.device_count(device))
    game = twin.create(config, data, device)
    if options.resume:
        game = restored(twin, game, state, options.resume)
    elif options.initial_weights:
        game = with_weights(twin, game, state, options.initial_weights)
    variant = options.accelerate or next(iter(twin.VARIANTS))
    return Start(device, game, twin.VARIANTS[variant](game))


def open_folder(
    twin: ModuleType, options: argparse.Namespace, inputs: Inputs
) -> Path:
    """The run folder: made, or with the settings of its continuation."""
    if options.resume:
        run.save_config(options.resume, inputs.config)
        return options.resume
    now = datetime.now().strftime("%Y%m%d-%H%M%S")
    name = f"{twin.__package__}-{inputs.config.recipe}-{now}"
    folder = options.out or Path("runs") / name
    run.create_folder(folder, inputs.config)
    if options.initial_weights:
        run.save_origin(folder, options.initial_weights, inputs.origin_step)
    return folder
