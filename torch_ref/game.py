"""The two players and the state of their game, which changes in place."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from experiment.config import Config
from experiment.data import mean_logit
from torch_ref.losses import GENERATOR_LOSSES
from torch_ref.models import create_networks
from torch_ref.optim import OPTIMIZERS


@dataclass(frozen=True)
class Player:
    """One network with its weights, batch statistics and optimizer.

    Calling a player returns the output; batch normalisation moves its running
    statistics in place.
    """

    network: Any  # a module of models.py
    optimizer: Optimizer

    def __call__(self, *inputs: Any) -> Tensor:
        """Forward pass in training mode."""
        return self.network(*inputs)

    def evaluate(self, *inputs: Any) -> Tensor:
        """Forward pass with the running statistics, which stay as they are."""
        self.network.eval()
        with torch.no_grad():
            output = self.network(*inputs)
        self.network.train()
        return output

    def descend(self, loss: Tensor) -> None:
        """One step of its optimizer, with gradients of its own weights only.

        The other player's are not computed, as JAX does not compute them.
        """
        self.optimizer.zero_grad()
        loss.backward(inputs=list(self.network.parameters()))
        self.optimizer.step()


@dataclass(frozen=True)
class Game:
    """The state of Algorithm 1: both players, and what G descends."""

    generator: Player
    discriminator: Player
    generator_loss: Callable[[Tensor], Tensor]

    def generate(self, z: Tensor) -> Tensor:
        """G(z) in evaluation."""
        return self.generator.evaluate(z)

    def discriminate(self, x: Tensor) -> Tensor:
        """D(x) in evaluation, as a probability."""
        return torch.sigmoid(self.discriminator.evaluate(x, {}))


def create(
    config: Config, data: NDArray[np.floating], device: Any = None
) -> Game:
    """The game before its first step.

    Args:
        config: the experiment; its seed draws the weights.
        data: the training set, (n, *sample): its shape, and its mean for
            G's output bias, are used.
        device: what ``select_device`` gave; the CPU if not given.
    """
    G, D = create_networks(config, data.shape[1:])
    if config.output_bias == "mean":
        with torch.no_grad():
            G.output.bias.copy_(torch.tensor(mean_logit(data)))
    G, D = G.to(device), D.to(device)
    optimizer = OPTIMIZERS[config.optimizer]
    return Game(
        Player(G, optimizer(config, "generator", G.parameters())),
        Player(D, optimizer(config, "discriminator", D.parameters())),
        GENERATOR_LOSSES[config.loss],
    )
