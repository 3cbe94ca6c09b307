"""Forms of ``train`` by how the work reaches the device, all equal to it.

``train --accelerate NAME`` takes one; the first is the default.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from experiment.stream import length
from jax_gan.game import Game
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
    # Sliced inside: outside, each slice would be a call of its own.
    return game.step(jax.tree.map(lambda array: array[i], batches))


@jax.jit
def _stacked(rows: Sequence[Metrics]) -> Metrics:
    return jax.tree.map(lambda *values: jnp.stack(values), *rows)


FORMS: dict[str, Callable[[Game], Train]] = {
    "scan": lambda _: train,
    "step": lambda _: train_by_steps,
}
