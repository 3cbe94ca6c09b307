"""The game of a config before its first step."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from experiment.config import Config
from experiment.errors import InputError
from experiment.initial import initial_state
from experiment.pixels import Data
from jax_gan.game import Game, Player
from jax_gan.losses import LOSSES
from jax_gan.models import create_networks
from jax_gan.optim import OPTIMIZERS
from jax_gan.simultaneous import simultaneous_step
from jax_gan.train import train_step
from jax_gan.weights import from_numpy, to_numpy

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
        device: what ``select_device`` gave; JAX's default if not given.

    Raises:
        InputError: float64 is asked for, and JAX is not set to it.
    """
    if config.precision == "float64" and not jax.config.read("jax_enable_x64"):
        raise InputError(
            "precision float64 is off in JAX: call select_device before create"
        )
    G, D = create_networks(config, data.shape[1:])
    z = jnp.zeros((1, config.noise_size), config.dtype)
    x = jnp.zeros((1, *data.shape[1:]), config.dtype)
    optimizer, any_run = OPTIMIZERS[config.optimizer], config.of_any_run()
    game = Game(
        _player(_zeros(G, z), G, optimizer(any_run, "generator")),
        _player(_zeros(D, x, {}), D, optimizer(any_run, "discriminator")),
        LOSSES[config.loss],
        UPDATES[config.updates],
    )
    game = jax.device_put(game, device)
    return from_numpy(game, initial_state(config, to_numpy(game), data))


def _zeros(network: nn.Module, *inputs: Any) -> Any:
    """Weights and batch statistics, without a run of the network."""
    shapes = jax.eval_shape(network.init, jax.random.key(0), *inputs)
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


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
