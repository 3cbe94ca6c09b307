"""Algorithm 1 of Goodfellow et al. 2014, and nothing else."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from experiment.stream import Batch, DiscriminatorBatch, GeneratorBatch, slices
from torch_ref.game import Game


class Metrics(NamedTuple):
    """What an iteration reports, in the paper's terms.

    The discriminator's are those of the last of its k steps, before it.
    """

    discriminator_loss: Tensor
    real_probability: Tensor  # mean D(x)
    fake_probability: Tensor  # mean D(G(z))
    generator_loss: Tensor


def discriminator_step(
    game: Game, batch: DiscriminatorBatch
) -> tuple[Game, tuple[Tensor, Tensor, Tensor]]:
    """Updates D by descending its loss.

    In the paper: -mean[log D(x) + log(1 - D(G(z)))].
    """
    x, z, real_masks, fake_masks = batch
    G, D = game.generator, game.discriminator
    with torch.no_grad():
        fake = G(z)
    assert fake.shape == x.shape, f"{fake.shape} is not {x.shape}"

    real_logits = D(x, real_masks)
    fake_logits = D(fake, fake_masks)
    value = game.loss.discriminator(real_logits, fake_logits)
    D.descend(value)

    real_logits, fake_logits = real_logits.detach(), fake_logits.detach()
    probability = game.loss.probability
    means = probability(real_logits).mean(), probability(fake_logits).mean()
    return game, (value.detach(), *means)


def generator_step(game: Game, batch: GeneratorBatch) -> tuple[Game, Tensor]:
    """Updates G by descending its loss.

    In the paper: mean log(1 - D(G(z))), or -mean log D(G(z)).
    """
    z, masks = batch
    G, D = game.generator, game.discriminator

    fake = G(z)
    fake_logits = D(fake, masks)
    value = game.loss.generator(fake_logits)
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
