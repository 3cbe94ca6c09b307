"""Variants of ``train`` by how the work reaches the device.

All compute the same.

``train --accelerate NAME`` takes one; the first is the default.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jax.flatten_util import ravel_pytree

from experiment.errors import InputError
from experiment.stream import length
from jax_gan.game import Game, Player
from jax_gan.parallel import pinned
from jax_gan.train import Metrics, train

Train = Callable[[Game, Any], tuple[Game, Metrics]]


def train_by_steps(game: Game, batches: Any) -> tuple[Game, Metrics]:
    """``train`` with one call of the jitted step for each iteration."""
    rows = []
    for i in range(length(batches)):
        game, metrics = _nth_step(game, batches, i)
        rows.append(metrics)
    return game, _stacked(rows)


@partial(jax.jit, donate_argnames="game")
def _nth_step(game: Game, batches: Any, i: Array) -> tuple[Game, Metrics]:
    # Sliced inside: outside, each slice would be a separate call.
    return game.step(jax.tree.map(lambda array: array[i], batches))


@jax.jit
def _stacked(rows: Sequence[Metrics]) -> Metrics:
    return jax.tree.map(lambda *values: jnp.stack(values), *rows)


@partial(jax.jit, donate_argnames="game")
def train_unrolled(game: Game, batches: Any) -> tuple[Game, Metrics]:
    """``train`` with ten iterations in the body of its loop.

    On a GPU XLA launches the body as CUDA graphs: ten iterations then are one.
    """
    return lax.scan(Game.step, game, batches, unroll=10)


@partial(jax.jit, donate_argnames="game")
def train_flat(game: Game, batches: Any) -> tuple[Game, Metrics]:
    """``train`` with the optimizer state of each player as one vector.

    On a GPU an update is then one kernel, and not one for each weight.
    """
    flat = replace(
        game,
        generator=_flattened(game.generator),
        discriminator=_flattened(game.discriminator),
    )
    flat, metrics = lax.scan(Game.step, flat, batches)
    game = replace(
        game,
        generator=_unflattened(flat.generator, game.generator.optimizer),
        discriminator=_unflattened(
            flat.discriminator, game.discriminator.optimizer
        ),
    )
    return game, metrics


def _flattened(player: Player) -> Player:
    structure: Any = jax.tree.structure(player.params)

    def is_moment(node: Any) -> bool:
        return jax.tree.structure(node) == structure

    state = jax.tree.map(
        lambda node: ravel_pytree(node)[0] if is_moment(node) else node,
        player.optimizer_state,
        is_leaf=is_moment,
    )
    optimizer = optax.flatten(player.optimizer)
    return replace(player, optimizer=optimizer, optimizer_state=state)


def _unflattened(
    player: Player, optimizer: optax.GradientTransformation
) -> Player:
    _, restore = ravel_pytree(player.params)
    state = jax.tree.map(
        lambda leaf: restore(leaf) if leaf.ndim else leaf,  # counts stay
        player.optimizer_state,
    )
    return replace(player, optimizer=optimizer, optimizer_state=state)


def _by_steps(game: Game) -> Train:
    if pinned(train, game) is not train:
        raise InputError(
            "--accelerate step is for one device: leave it out, or train on "
            "one device"
        )
    return train_by_steps


VARIANTS: dict[str, Callable[[Game], Train]] = {
    "scan": lambda game: pinned(train, game),
    "step": _by_steps,
    "unroll-10": lambda game: pinned(train_unrolled, game),
    "flat": lambda game: pinned(train_flat, game),
}
