"""Games that differ only in the seed, batched over seeds."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jax_gan.game import Game
from jax_gan.train import Metrics, train


def stack_games(games: Sequence[Game]) -> Game:
    """Games of one config but for the seed, as one with a leading axis."""
    # The first one's static fields: jit tells optimizers apart by identity.
    _, structure = jax.tree.flatten(games[0])
    leaves = zip(*map(jax.tree.leaves, games), strict=True)
    return jax.tree.unflatten(structure, map(jnp.stack, leaves))


@partial(jax.jit, donate_argnames="game")
def train_seeds(game: Game, batches: Any) -> tuple[Game, Metrics]:
    """``train`` batched over seeds.

    On a CPU the games take turns: XLA's batched matmul is slower there than
    one matmul for each.

    Args:
        game: of ``stack_games``; it is donated.
        batches: stacked on a leading axis of games, then of iterations.
    """
    return lax.platform_dependent(
        game, batches, cpu=_in_turn, default=jax.vmap(train)
    )


def _in_turn(game: Game, batches: Any) -> tuple[Game, Metrics]:
    games, iterations = jax.tree.leaves(batches)[0].shape[:2]

    def one(pair: tuple[Game, Array]) -> tuple[Game, Metrics]:
        game, i = pair

        # Batch by batch: a slice of all of a game's would be a copy.
        def step(game: Game, j: Array) -> tuple[Game, Metrics]:
            return game.step(jax.tree.map(lambda leaf: leaf[i, j], batches))

        return lax.scan(step, game, jnp.arange(iterations))

    return lax.map(one, (game, jnp.arange(games)))
