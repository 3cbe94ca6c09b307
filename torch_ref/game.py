"""The two players and the state of their game, which changes in place."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from torch_ref.device import DTYPES
from torch_ref.losses import Loss
from torch_ref.parallel import average_gradients


@dataclass(frozen=True)
class Player:
    """One network with its weights, batch statistics and optimizer.

    Calling a player returns the output; batch normalisation moves its running
    statistics in place.
    """

    network: Any  # a module of models.py
    optimizer: Optimizer

    def __call__(self, *inputs: Any) -> Tensor:
        """Forward pass in the network's mode: training, but in evaluate."""
        config, device = self.network.config, inputs[0].device.type
        mixed = config.compute == "bfloat16"
        with torch.autocast(device, torch.bfloat16) if mixed else nullcontext():
            output = self.network(*inputs)
        return output.to(DTYPES[config.precision])

    def evaluate(self, *inputs: Any) -> Tensor:
        """Forward pass with the running statistics, which stay as they are."""
        self.network.eval()
        try:
            with torch.no_grad():
                return self(*inputs)
        finally:
            self.network.train()

    def descend(self, loss: Tensor) -> None:
        """One step of its optimizer, with the gradients of this player only.

        The other player's are not computed, as JAX does not compute them.
        """
        self.optimizer.zero_grad()
        weights = list(self.network.parameters())
        loss.backward(inputs=weights)
        average_gradients(weights)
        self.optimizer.step()


@dataclass(frozen=True)
class Game:
    """The state of a game: both players, what they descend, who moves when."""

    generator: Player
    discriminator: Player
    loss: Loss
    updates: Callable[..., Any]

    def step(self, batch: Any) -> tuple["Game", Any]:
        """One iteration by the game's rule: the game, changed, and metrics."""
        return self.updates(self, batch)

    def generate(self, z: Tensor) -> Tensor:
        """G(z) in evaluation."""
        return self.generator.evaluate(z)

    def discriminate(self, x: Tensor) -> Tensor:
        """D(x) in evaluation, as the loss makes a probability of the logits."""
        return self.loss.probability(self.discriminator.evaluate(x, {}))
