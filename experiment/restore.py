"""The game of a run folder, whichever twin wrote it."""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from experiment import data as datasets
from experiment import run
from experiment.checkpoints import load_checkpoint, report_damage, require_run
from experiment.config import Config
from experiment.errors import InputError


def restored(twin: ModuleType, game: Any, state: Any, folder: Path) -> Any:
    """The game with the state of a folder's checkpoint.

    Raises:
        InputError: the state is not of this game.
    """
    try:
        return twin.from_numpy(game, state)
    except InputError as error:
        raise InputError(
            f"the checkpoint of {folder} does not fit its config: {error}"
        ) from error


def with_weights(twin: ModuleType, game: Any, state: Any, origin: Path) -> Any:
    """The game with the weights and statistics of another run's state.

    Raises:
        InputError: they are of other networks.
    """
    fresh = twin.to_numpy(game)
    taken = {k: v for k, v in state.items() if "/optimizer/" not in k}
    kept = {k: v for k, v in fresh.items() if "/optimizer/" in k}
    try:
        return twin.from_numpy(game, taken | kept)
    except InputError as error:
        raise InputError(
            f"--initial-weights {origin}: {error}; take a run of the same "
            "networks, or give the options that made them"
        ) from error


def load_game(
    twin: ModuleType, folder: Path, device: str
) -> tuple[Config, int, Any]:
    """Config, iteration and game of a run folder's last checkpoint.

    Args:
        twin: the module that computes the game.
        folder: of a run of either twin.
        device: ``auto``, ``cpu`` or ``gpu``.

    Raises:
        InputError: the folder is damaged, or this machine lacks the device.
    """
    config = run.load_config(folder)
    checkpoint = load_checkpoint(folder)
    require_run(folder, config, checkpoint)
    report_damage(checkpoint)
    blank = np.zeros((1, *datasets.sample_shape(config)), config.dtype)
    game = twin.create(config, blank, twin.select_device(device, config))
    game = restored(twin, game, checkpoint.state, folder)
    return config, checkpoint.step, game
