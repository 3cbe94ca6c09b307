"""Forms of ``train`` by how the work reaches the device, all equal to it.

``train --accelerate NAME`` takes one; the first is the default. Drawing the
batches on the device too is ``--stream device``.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from experiment.stream import Batch
from jax_gan.game import Game
from jax_gan.train import Metrics, train, train_step

Train = Callable[[Game, Batch], tuple[Game, Metrics]]


def train_by_steps(game: Game, batches: Batch) -> tuple[Game, Metrics]:
    """``train`` with one call of the jitted step for each iteration."""
    rows = []
    for i in range(len(batches.generator.z)):
        game, metrics = _nth_step(game, batches, i)
        rows.append(metrics)
    return game, _stacked(rows)


@partial(jax.jit, donate_argnames="game")
def _nth_step(game: Game, batches: Batch, i: Array) -> tuple[Game, Metrics]:
    # Sliced inside: outside, each slice would be a call of its own.
    return train_step(game, jax.tree.map(lambda array: array[i], batches))


@jax.jit
def _stacked(rows: Sequence[Metrics]) -> Metrics:
    return jax.tree.map(lambda *values: jnp.stack(values), *rows)


FORMS: dict[str, Callable[[Game], Train]] = {
    "scan": lambda _: train,
    "step": lambda _: train_by_steps,
}
