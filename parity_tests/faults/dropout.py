"""Dropout: scale, place, and which masks are shared."""

from parity_tests.faults.base import (
    Patch,
    change_batch,
    change_discriminator,
    fault,
)
from torch_ref import layers, models


def _scaled_masks(masks: dict, factor: float) -> dict:
    return {name: factor * mask for name, mask in masks.items()}


fault(
    "dropout does not scale what it keeps",
    "dropout",
    "1/keep while training",
)(
    change_batch(
        lambda batch: change_discriminator(
            batch,
            real_masks=_scaled_masks(batch.discriminator.real_masks, 0.5),
            fake_masks=_scaled_masks(batch.discriminator.fake_masks, 0.5),
        )
    )
)
fault(
    "real and fake images share a dropout mask",
    "dropout",
    "a key for each call of D",
)(
    change_batch(
        lambda batch: change_discriminator(
            batch, fake_masks=batch.discriminator.real_masks
        )
    )
)
fault(
    "there is no dropout in G's step",
    "dropout",
    "D is in training mode while G learns",
)(
    change_batch(
        lambda batch: batch._replace(
            generator=batch.generator._replace(masks={})
        )
    )
)


@fault(
    "dropout comes before the activation",
    "dropout",
    "none needed for a leaky ReLU",
    equivalent="a mask is not negative, and f(c h) = c f(h) for c >= 0",
)
def _dropout_first(patch: Patch) -> None:
    def forward(self, x, masks):
        h = layers.dropout(x.reshape(len(x), -1), masks.get("input"))
        for i, layer in enumerate(self.hidden):
            h = layers.dropout(layer(h), masks.get(f"hidden_{i}"))
            h = layers.leaky_relu(h, self.config.slope)
        return self.output(h)[:, 0]

    patch.setattr(models.MLPDiscriminator, "forward", forward)
