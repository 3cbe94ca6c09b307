"""The two players and the state of their game: immutable pytrees."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax import Array
from jax.tree_util import register_dataclass
from numpy.typing import NDArray

from experiment.config import Config, InputError
from experiment.data import mean_logit
from jax_gan.losses import GENERATOR_LOSSES
from jax_gan.models import create_networks
from jax_gan.optim import OPTIMIZERS


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
        return output, replace(self, statistics=updated["batch_stats"])

    def evaluate(self, *inputs: Any) -> Array:
        """Forward pass with the running statistics, which stay as they are."""
        return self.network.apply(
            {"params": self.params, "batch_stats": self.statistics}, *inputs
        )

    def descend(self, gradients: Any) -> "Player":
        """The player after one step of its optimizer."""
        updates, optimizer_state = self.optimizer.update(
            gradients, self.optimizer_state, self.params
        )
        params = optax.apply_updates(self.params, updates)
        return replace(self, params=params, optimizer_state=optimizer_state)


@register_dataclass
@dataclass(frozen=True)
class Game:
    """The state of Algorithm 1: both players, and what G descends."""

    generator: Player
    discriminator: Player
    generator_loss: Callable[[Array], Array] = field(metadata={"static": True})

    def generate(self, z: Array) -> Array:
        """G(z) in evaluation."""
        return self.generator.evaluate(z)

    def discriminate(self, x: Array) -> Array:
        """D(x) in evaluation, as a probability."""
        return jax.nn.sigmoid(self.discriminator.evaluate(x, {}))


def create(
    config: Config, data: NDArray[np.floating], device: Any = None
) -> Game:
    """The game before its first step.

    Args:
        config: the experiment; its seed draws the weights.
        data: the training set, (n, *sample): its shape, and its mean for
            G's output bias, are used.
        device: what ``select_device`` gave; JAX's default if not given.

    Raises:
        InputError: float64 is asked for, and JAX is not set to it.
    """
    if config.precision == "float64" and not jax.config.read("jax_enable_x64"):
        raise InputError(
            "precision float64 is off in JAX: call select_device before create"
        )
    G, D = create_networks(config, data.shape[1:])
    G_key, D_key = jax.random.split(jax.random.key(config.seed))
    z = jnp.zeros((1, config.noise_size), config.dtype)
    generator = _first_variables(G, G_key, z)
    if config.output_bias == "mean":
        generator["params"]["output"]["bias"] = jnp.array(mean_logit(data))
    discriminator = _first_variables(D, D_key, jnp.array(data[:1]), {})
    optimizer = OPTIMIZERS[config.optimizer]
    game = Game(
        _player(generator, G, optimizer(config, "generator")),
        _player(discriminator, D, optimizer(config, "discriminator")),
        GENERATOR_LOSSES[config.loss],
    )
    return jax.device_put(game, device)


# Weights and batch statistics; games of equal configs share the program.
_first_variables = jax.jit(nn.Module.init, static_argnums=0)


def _player(
    variables: Any, network: nn.Module, optimizer: optax.GradientTransformation
) -> Player:
    return Player(
        variables["params"],
        variables.get("batch_stats", {}),
        optimizer.init(variables["params"]),
        network,
        optimizer,
    )
