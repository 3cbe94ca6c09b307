"""Algorithm 1 of Goodfellow et al. 2014, and nothing else."""

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import chex
import jax
from jax import Array, lax, value_and_grad

from experiment.stream import Batch, DiscriminatorBatch, GeneratorBatch
from jax_gan.game import Game


class Metrics(NamedTuple):
    """What an iteration reports, in the paper's terms.

    The discriminator's are those of the last of its k steps, before it.
    """

    discriminator_loss: Array
    real_probability: Array  # mean D(x)
    fake_probability: Array  # mean D(G(z))
    generator_loss: Array


def discriminator_step(
    game: Game, batch: DiscriminatorBatch
) -> tuple[Game, tuple[Array, Array, Array]]:
    """Updates D by descending its loss.

    In the paper: -mean[log D(x) + log(1 - D(G(z)))].
    """
    x, z, real_masks, fake_masks = batch
    fake, G = game.generator(z)
    chex.assert_equal_shape((fake, x))

    def loss(params: Any):
        D = replace(game.discriminator, params=params)
        real_logits, D = D(x, real_masks)
        fake_logits, D = D(fake, fake_masks)
        value = game.loss.discriminator(real_logits, fake_logits)
        return value, (real_logits, fake_logits, D)

    (value, (real_logits, fake_logits, D)), gradients = value_and_grad(
        loss, has_aux=True
    )(game.discriminator.params)
    D = D.descend(gradients)

    probability = game.loss.probability
    means = probability(real_logits).mean(), probability(fake_logits).mean()
    return replace(game, generator=G, discriminator=D), (value, *means)


def generator_step(game: Game, batch: GeneratorBatch) -> tuple[Game, Array]:
    """Updates G by descending its loss.

    In the paper: mean log(1 - D(G(z))), or -mean log D(G(z)).
    """
    z, masks = batch

    def loss(params: Any):
        G = replace(game.generator, params=params)
        fake, G = G(z)
        fake_logits, D = game.discriminator(fake, masks)
        value = game.loss.generator(fake_logits)
        return value, (G, D)

    (value, (G, D)), gradients = value_and_grad(loss, has_aux=True)(
        game.generator.params
    )
    G = G.descend(gradients)

    return replace(game, generator=G, discriminator=D), value


@jax.jit
def train_step(game: Game, batch: Batch) -> tuple[Game, Metrics]:
    """One iteration of Algorithm 1: k steps of D, then one step of G."""
    game, of_d = lax.scan(discriminator_step, game, batch.discriminator)
    game, of_g = generator_step(game, batch.generator)
    loss, real, fake = (values[-1] for values in of_d)
    return game, Metrics(loss, real, fake, of_g)


@partial(jax.jit, donate_argnames="game")
def train(game: Game, batches: Any) -> tuple[Game, Metrics]:
    """A run: one iteration for each of the stacked batches.

    The buffers of the given game are donated; use the returned one.
    """
    return lax.scan(Game.step, game, batches)
