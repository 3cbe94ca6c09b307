"""Batch normalisation: constants, and the order of its statistics."""

from typing import Any

import torch
from torch import nn

from parity_tests.faults.base import (
    DCGAN,
    Patch,
    Plant,
    fault,
    train,
)
from torch_ref import layers


def _with_norm(**changes: Any) -> Plant:
    """Batch norms whose constants differ."""

    def plant(patch: Patch) -> None:
        sound = layers.BatchNorm.__init__

        def init(self, features):
            sound(self, features)
            for name, value in changes.items():
                setattr(self, name, value)

        patch.setattr(layers.BatchNorm, "__init__", init)

    return plant


fault(
    "running statistics move by 1/100, as Flax's default",
    "batch norm",
    "Flax's momentum .9 is PyTorch's .1: the weight of the old value",
    **DCGAN,
)(_with_norm(momentum=0.01))
fault(
    "epsilon is 1e-3, as in Keras",
    "batch norm",
    "1e-5 in PyTorch and Flax",
    **DCGAN,
)(_with_norm(eps=1e-3))


@fault(
    "the running variance is that of the batch, biased, as Flax's",
    "batch norm",
    "n / (n - 1) in the running variance alone",
    **DCGAN,
)
def _biased_variance(patch: Patch) -> None:
    sound = layers.BatchNorm.forward

    def forward(self, h):
        kept = 0.9 * self.running_var
        output = sound(self, h)
        if self.training:
            n = h.numel() // h.shape[-1]
            self.running_var = kept + (self.running_var - kept) * (n - 1) / n
        return output

    patch.setattr(layers.BatchNorm, "forward", forward)


@fault(
    "the batch is normalised by its unbiased variance",
    "batch norm",
    "biased variance in the normalisation",
    **DCGAN,
)
def _unbiased_normalisation(patch: Patch) -> None:
    sound = layers.BatchNorm.forward

    def forward(self, h):
        output = sound(self, h)
        n = h.numel() // h.shape[-1]
        factor = ((n - 1) / n) ** 0.5 if self.training else 1.0
        return (output - self.bias) * factor + self.bias

    patch.setattr(layers.BatchNorm, "forward", forward)


@fault(
    "training uses the running statistics",
    "batch norm",
    "mutable batch_stats, or network.train()",
    **DCGAN,
)
def _always_evaluating(patch: Patch) -> None:
    def forward(self, h):
        return nn.functional.batch_norm(
            h.permute(0, 3, 1, 2),
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
        ).permute(0, 2, 3, 1)

    patch.setattr(layers.BatchNorm, "forward", forward)


@fault(
    "D sees the fake images before the real ones",
    "batch norm",
    "real first: the order shows in the running statistics alone",
    **DCGAN,
)
def _fake_first(patch: Patch) -> None:
    def discriminator_step(game, batch):
        G, D = game.generator, game.discriminator
        with torch.no_grad():
            fake = G(batch.z)
        fake_logits = D(fake, {})
        real_logits = D(batch.x, {})
        value = game.loss.discriminator(real_logits, fake_logits)
        D.descend(value)
        means = (
            real_logits.sigmoid().detach().mean(),
            fake_logits.sigmoid().detach().mean(),
        )
        return game, (value.detach(), *means)

    patch.setattr(train, "discriminator_step", discriminator_step)


@fault(
    "real and fake images are normalised as one batch",
    "batch norm",
    "two calls of D: each batch has its own statistics",
    **DCGAN,
)
def _joint_batch(patch: Patch) -> None:
    def discriminator_step(game, batch):
        G, D = game.generator, game.discriminator
        with torch.no_grad():
            fake = G(batch.z)
        both = D(torch.cat([batch.x, fake]), {})
        real_logits, fake_logits = both.chunk(2)
        value = game.loss.discriminator(real_logits, fake_logits)
        D.descend(value)
        means = (
            real_logits.sigmoid().detach().mean(),
            fake_logits.sigmoid().detach().mean(),
        )
        return game, (value.detach(), *means)

    patch.setattr(train, "discriminator_step", discriminator_step)


def _statistics_lost(step: str, side: str) -> Plant:
    """The running statistics of one player are put back after a step."""

    def plant(patch: Patch) -> None:
        sound = getattr(train, step)

        def changed(game, batch):
            network = getattr(game, side).network
            kept = {k: v.clone() for k, v in network.named_buffers()}
            result = sound(game, batch)
            for name, buffer in network.named_buffers():
                buffer.copy_(kept[name])
            return result

        patch.setattr(train, step, changed)

    return plant


fault(
    "G's statistics do not move in D's step",
    "batch norm",
    "thread G through D's step: PyTorch moves them there too",
    **DCGAN,
)(_statistics_lost("discriminator_step", "generator"))
fault(
    "D's statistics do not move in G's step",
    "batch norm",
    "thread D through G's step: PyTorch moves them there too",
    **DCGAN,
)(_statistics_lost("generator_step", "discriminator"))
