"""The gradient-based rule of Algorithm 1: Adam, or momentum by two rules."""

from functools import cache
from math import log
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from optax.tree_utils import tree_update_moment

from experiment.config import Config
from experiment.schedules import iteration, learning_rate, momentum


# Cached, since jit tells optimizers apart by identity: games of equal configs
# share one compiled step.
@cache
def adam(config: Config, player: str) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015) with the config's learning rate and decay rates.

    m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, and
    p = p - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + 1e-8).
    """
    return optax.chain(
        _scale_by_adam(config.b1, config.b2),
        _scale_by_rate(config, player),
    )


def _scale_by_adam(b1: float, b2: float) -> optax.GradientTransformation:
    """Optax's rule, with a bias correction that float32 can hold.

    Optax subtracts b^t from 1; in float32 that loses five digits at b = .999.
    """
    rule = optax.scale_by_adam(b1, b2)

    def correction(b: float, t: Array) -> Array | float:
        return -jnp.expm1(t * log(b)) if b else 1.0

    def update(gradients, state, params=None):
        m = tree_update_moment(gradients, state.mu, b1, 1)
        v = tree_update_moment(gradients, state.nu, b2, 2)
        t = state.count + 1
        c1, c2 = correction(b1, t), correction(b2, t)
        updates = jax.tree.map(
            lambda m, v: (m / c1) / (jnp.sqrt(v / c2) + 1e-8), m, v
        )
        return updates, optax.ScaleByAdamState(t, m, v)

    return optax.GradientTransformation(rule.init, update)


@cache
def sgd(config: Config, player: str) -> optax.GradientTransformation:
    """Stochastic gradient descent with momentum, as the paper used.

    v = momentum v + g, and p = p - rate v.
    """
    trace = optax.trace(config.momentum)
    return optax.chain(
        trace if config.momentum else optax.identity(),
        _scale_by_rate(config, player),
    )


def _scale_by_rate(config: Config, player: str) -> optax.GradientTransformation:
    """Times -rate, the learning rate of this iteration."""

    def rate(count: Array) -> Array:
        t = iteration(config, player, count)
        return -learning_rate(config, player, t, jnp)

    return optax.scale_by_schedule(rate)


class VelocityState(NamedTuple):
    """Steps taken, and the velocity v of each weight."""

    count: Array  # type: ignore[assignment]  # as Optax names it
    velocity: optax.Updates


@cache
def classical_momentum(
    config: Config, player: str
) -> optax.GradientTransformation:
    """Momentum as the authors' code has it (pylearn2; Sutskever et al. 2013).

    v = mu v - rate g, and p = p + v. While mu and rate change this is not
    ``sgd``, whose momentum does not contain the learning rate.
    """

    def init(params):
        zeros = jax.tree.map(jnp.zeros_like, params)
        return VelocityState(jnp.zeros((), jnp.int32), zeros)

    def update(gradients, state, params=None):
        t = iteration(config, player, state.count)
        mu = momentum(config, t, jnp)
        rate = learning_rate(config, player, t, jnp)
        velocity = jax.tree.map(
            lambda v, g: mu * v - rate * g, state.velocity, gradients
        )
        return velocity, VelocityState(state.count + 1, velocity)

    return optax.GradientTransformation(init, update)


OPTIMIZERS = {
    "adam": adam,
    "sgd": sgd,
    "classical-momentum": classical_momentum,
}

# The framework-neutral names of optimizer state, by the names of Optax.
STATE_NAMES = {
    "mu": "m",
    "nu": "v",
    "count": "step",
    "trace": "momentum",
    "velocity": "velocity",
}
