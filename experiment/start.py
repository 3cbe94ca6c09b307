"""What a run needs before its first iteration, new or resumed."""

import argparse
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from experiment import data as datasets
from experiment import run
from experiment.checkpoints import set_aside
from experiment.config import Config
from experiment.errors import InputError
from experiment.lock import hold
from experiment.peers import Peers
from experiment.pixels import Data
from experiment.processes import Place, require_even
from experiment.resume import find_folder, resumed_config
from experiment.train_options import NEWEST
from experiment.train_run import Training


class Inputs(NamedTuple):
    """What a run reads before it starts.

    Attributes:
        config: the experiment.
        data: its training set.
        folder: of the run.
    """

    config: Config
    data: Data
    folder: Path


def load_inputs(
    twin: ModuleType,
    options: argparse.Namespace,
    peers: Peers,
    stack: ExitStack,
) -> Inputs:
    """Reads and checks what a run needs.

    Args:
        twin: the module that trains; names the folder.
        options: of the command.
        peers: all processes.
        stack: keeps the lock of a folder that is resumed.

    Raises:
        InputError: something is missing, damaged or does not fit.
    """
    _require_single(options, peers.place)
    if options.resume:
        folder = find_folder(options.resume)
        if peers.writes:
            stack.enter_context(hold(folder))
        config = resumed_config(folder, options.changes)
    else:
        config = options.config
        now = datetime.now().strftime("%Y%m%d-%H%M%S")
        name = f"{twin.__package__}-{config.recipe}-{now}"
        folder = options.out or Path("runs") / name
    with peers.patient():  # to decode images may take long
        data = datasets.load(
            config,
            options.data_dir,
            options.download,
            options.skip_unreadable,
            datasets.tell if peers.writes else lambda text: None,
        )
    if options.epochs is not None:
        steps = options.epochs * len(data) / (config.k * config.batch_size)
        config = replace(config, steps=max(1, round(steps)))
    if options.accelerate and config.stream == "device":
        raise InputError(
            f"--accelerate {options.accelerate}: a stream on the device has "
            "its own training loop; leave it out, or take --stream shared"
        )
    return Inputs(config, data, folder)


def _require_single(options: argparse.Namespace, place: Place) -> None:
    """Raises an error for what each process would decide alone."""
    if place.processes == 1:
        return
    if options.resume is NEWEST:
        raise InputError(
            "--resume: of several processes each would look for a folder; "
            "name it"
        )
    if options.on_nan != "stop":
        raise InputError(
            f"--on-nan {options.on_nan}: of several processes a run that "
            "diverges ends; leave it out, and resume with a lower learning rate"
        )


def prepare(
    twin: ModuleType, options: argparse.Namespace, peers: Peers, inputs: Inputs
) -> Training:
    """Creates the game on all devices, new or as its checkpoint has it.

    Raises:
        InputError: the devices are not there or cannot share a minibatch, a
            checkpoint is damaged or of another game, or nothing is left to
            do.
    """
    config, data, folder = inputs
    chosen = twin.select_device(options.device, config)
    device = twin.spread(chosen, peers.place, options.devices)
    require_even(config.batch_size, twin.device_count(device))
    variant = options.accelerate or next(iter(twin.VARIANTS))
    training = Training(twin, config, data, device, variant, folder, peers)
    if options.resume:
        training.resume(options.stop_when_collapsed)
    else:
        training.begin(options.initial_weights)
    return training


def open_folder(
    options: argparse.Namespace,
    inputs: Inputs,
    training: Training,
    stack: ExitStack,
) -> None:
    """Makes the run folder, or has it continue.

    Raises:
        InputError: it cannot be made, or another process writes it.
    """
    config, _, folder = inputs
    if options.resume:
        set_aside(folder, training.step)
        run.save_config(folder, config)
        return
    run.make_folder(folder)
    stack.enter_context(hold(folder))
    run.create_folder(folder, config, training.origin)
