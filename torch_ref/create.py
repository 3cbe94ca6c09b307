"""The game of a config before its first step."""

from collections.abc import Callable
from typing import Any

from experiment.config import Config
from experiment.initial import initial_state
from experiment.pixels import Data
from torch_ref.game import Game, Player
from torch_ref.losses import LOSSES
from torch_ref.models import create_networks
from torch_ref.optim import OPTIMIZERS
from torch_ref.simultaneous import simultaneous_step
from torch_ref.train import train_step
from torch_ref.weights import from_numpy, to_numpy

UPDATES: dict[str, Callable[..., Any]] = {
    "alternating": train_step,
    "simultaneous": simultaneous_step,
}


def create(config: Config, data: Data, device: Any = None) -> Game:
    """The game before its first step.

    Args:
        config: the experiment; its seed draws the weights.
        data: the training set, (n, *sample): its shape, and its mean for
            G's output bias, are used.
        device: what ``select_device`` gave; the CPU if not given.
    """
    G, D = create_networks(config, data.shape[1:])
    G, D = G.to(device), D.to(device)
    optimizer = OPTIMIZERS[config.optimizer]
    game = Game(
        Player(G, optimizer(config, "generator", G.parameters())),
        Player(D, optimizer(config, "discriminator", D.parameters())),
        LOSSES[config.loss],
        UPDATES[config.updates],
    )
    return from_numpy(game, initial_state(config, to_numpy(game), data))
