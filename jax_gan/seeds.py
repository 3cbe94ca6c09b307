"""Games that differ only in the seed, batched over seeds."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

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


def train_seeds_over(
    devices: Any, game: Game, batches: Any
) -> tuple[Game, Metrics]:
    """``train_seeds`` with an equal share of the games on each device.

    The devices exchange nothing: a game is what it is on one device.

    Args:
        devices: what ``spread`` gave, several in one process.
        game: of ``stack_games``; as many games as the devices can share.
        batches: stacked on a leading axis of games, then of iterations.

    Returns:
        Game and metrics with the leading axis split over the devices.
    """
    share = NamedSharding(devices.mesh, P("data"))
    game, batches = jax.device_put((game, batches), share)
    return _over(devices.mesh)(game, batches)


@cache
def _over(mesh: Mesh) -> Callable[[Game, Any], tuple[Game, Metrics]]:
    share = P("data")
    run = jax.shard_map(
        train_seeds, mesh=mesh, in_specs=share, out_specs=share, check_vma=False
    )
    return jax.jit(run, donate_argnums=0)


def _in_turn(game: Game, batches: Any) -> tuple[Game, Metrics]:
    games, iterations = jax.tree.leaves(batches)[0].shape[:2]

    def one(pair: tuple[Game, Array]) -> tuple[Game, Metrics]:
        game, i = pair

        # Batch by batch: a slice of all of a game's would be a copy.
        def step(game: Game, j: Array) -> tuple[Game, Metrics]:
            return game.step(jax.tree.map(lambda leaf: leaf[i, j], batches))

        return lax.scan(step, game, jnp.arange(iterations))

    return lax.map(one, (game, jnp.arange(games)))
