"""Algorithm 1 of Goodfellow et al. 2014, and nothing else."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, sigmoid

from experiment.stream import Batch, DiscriminatorBatch, GeneratorBatch, slices
from torch_ref.game import Game
from torch_ref.losses import discriminator_loss


class Metrics(NamedTuple):
    """What an iteration reports, in the paper's terms.

    The discriminator's are those of the last of its k steps, before it.
    """

    discriminator_loss: Tensor  # -V(D, G)
    real_probability: Tensor  # mean D(x)
    fake_probability: Tensor  # mean D(G(z))
    generator_loss: Tensor


def discriminator_step(
    game: Game, batch: DiscriminatorBatch
) -> tuple[Game, tuple[Tensor, Tensor, Tensor]]:
    """Updates D by descending -mean[log D(x) + log(1 - D(G(z)))]."""
    x, z, real_masks, fake_masks = batch
    G, D = game.generator, game.discriminator
    with torch.no_grad():
        fake = G(z)
    assert fake.shape == x.shape, f"{fake.shape} is not {x.shape}"

    real_logits = D(x, real_masks)
    fake_logits = D(fake, fake_masks)
    value = discriminator_loss(real_logits, fake_logits)
    D.descend(value)

    real_logits, fake_logits = real_logits.detach(), fake_logits.detach()
    probabilities = sigmoid(real_logits).mean(), sigmoid(fake_logits).mean()
    return game, (value.detach(), *probabilities)


def generator_step(game: Game, batch: GeneratorBatch) -> tuple[Game, Tensor]:
    """Updates G by descending log(1 - D(G(z))), or -log D(G(z))."""
    z, masks = batch
    G, D = game.generator, game.discriminator

    fake = G(z)
    fake_logits = D(fake, masks)
    value = game.generator_loss(fake_logits)
    G.descend(value)

    return game, value.detach()


def train_step(game: Game, batch: Batch) -> tuple[Game, Metrics]:
    """One iteration of Algorithm 1: k steps of D, then one step of G."""
    for step in slices(batch.discriminator):
        game, of_d = discriminator_step(game, step)
    game, of_g = generator_step(game, batch.generator)
    loss, real, fake = of_d
    return game, Metrics(loss, real, fake, of_g)


def train(game: Game, batches: Any) -> tuple[Game, Metrics]:
    """A run: one iteration for each of the stacked batches.

    The given game changes in place; it is returned too.
    """
    metrics = [game.step(batch)[1] for batch in slices(batches)]
    return game, Metrics(*map(torch.stack, zip(*metrics, strict=True)))
