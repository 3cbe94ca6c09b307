"""The simultaneous update of the authors' code, AdversaryCost2.

Algorithm 1 updates D first and draws G's noise afresh. The code that came
with the paper takes both gradients at the same old weights, on one fake batch.
"""

from dataclasses import replace
from typing import Any

import chex
import jax
from jax import Array, value_and_grad

from experiment.stream import DiscriminatorBatch
from jax_gan.game import Game
from jax_gan.train import Metrics


@jax.jit
def simultaneous_step(
    game: Game, batch: DiscriminatorBatch
) -> tuple[Game, Metrics]:
    """Updates both players from the same weights, on the same fake batch.

    D descends half its loss, -mean[log D(x) + log(1 - D(G(z)))] / 2, which
    the metrics report; G descends its loss on the D(G(z)) of D's own loss,
    dropout masks included.
    """
    x, z, real_masks, fake_masks = batch

    def loss_of_g(params: Any):
        G = replace(game.generator, params=params)
        fake, G = G(z)
        fake_logits, _ = game.discriminator(fake, fake_masks)
        return game.loss.generator(fake_logits), (fake, G)

    def loss_of_d(params: Any, fake: Array):
        D = replace(game.discriminator, params=params)
        real_logits, D = D(x, real_masks)
        fake_logits, D = D(fake, fake_masks)
        value = game.loss.discriminator(real_logits, fake_logits) / 2
        return value, (real_logits, fake_logits, D)

    (of_g, (fake, G)), g_gradients = value_and_grad(loss_of_g, has_aux=True)(
        game.generator.params
    )
    chex.assert_equal_shape((fake, x))
    # D(fake) stands in both losses; XLA computes it once.
    (of_d, (real_logits, fake_logits, D)), d_gradients = value_and_grad(
        loss_of_d, has_aux=True
    )(game.discriminator.params, fake)
    G, D = G.descend(g_gradients), D.descend(d_gradients)

    probability = game.loss.probability
    means = probability(real_logits).mean(), probability(fake_logits).mean()
    game = replace(game, generator=G, discriminator=D)
    return game, Metrics(of_d, *means, of_g)
