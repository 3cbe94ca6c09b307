"""The two players and the state of their game: immutable pytrees."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import optax
from flax import linen as nn
from jax import Array
from jax.tree_util import register_dataclass

from jax_gan.losses import Loss


@register_dataclass
@dataclass(frozen=True)
class Player:
    """One network with its weights, batch statistics and optimizer.

    Calling a player returns the output and the player as the call left it:
    batch normalisation moved its running statistics.
    """

    params: Any
    statistics: Any
    optimizer_state: Any
    network: Any = field(metadata={"static": True})  # of models.py
    optimizer: optax.GradientTransformation = field(metadata={"static": True})

    def __call__(self, *inputs: Any) -> tuple[Array, "Player"]:
        """Forward pass in training mode."""
        output, updated = self.network.apply(
            {"params": self.params, "batch_stats": self.statistics},
            *inputs,
            mutable="batch_stats",
        )
        output = output.astype(self.network.config.dtype)
        return output, replace(self, statistics=updated["batch_stats"])

    def evaluate(self, *inputs: Any) -> Array:
        """Forward pass with the running statistics, which stay as they are."""
        variables = {"params": self.params, "batch_stats": self.statistics}
        output = _apply(self.network, variables, *inputs)
        return output.astype(self.network.config.dtype)

    def descend(self, gradients: Any) -> "Player":
        """The player after one step of its optimizer."""
        updates, optimizer_state = self.optimizer.update(
            gradients, self.optimizer_state, self.params
        )
        params = optax.apply_updates(self.params, updates)
        return replace(self, params=params, optimizer_state=optimizer_state)


# Less the optimizer: players of one network share the program.
_apply = jax.jit(nn.Module.apply, static_argnums=0)


@register_dataclass
@dataclass(frozen=True)
class Game:
    """The state of a game: both players, what they descend, who moves when."""

    generator: Player
    discriminator: Player
    loss: Loss = field(metadata={"static": True})
    updates: Callable[..., Any] = field(metadata={"static": True})

    def step(self, batch: Any) -> tuple["Game", Any]:
        """One iteration by the game's rule: the next game, and metrics."""
        return self.updates(self, batch)

    def generate(self, z: Array) -> Array:
        """G(z) in evaluation."""
        return self.generator.evaluate(z)

    def discriminate(self, x: Array) -> Array:
        """D(x) in evaluation, as the loss makes a probability of the logits."""
        return self.loss.probability(self.discriminator.evaluate(x, {}))
