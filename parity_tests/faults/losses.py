"""Losses: sign, scale and form."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from parity_tests.faults.base import (
    Patch,
    Plant,
    fault,
    train,
)
from torch_ref import losses


def _with_loss(change: Callable) -> Plant:
    def plant(patch: Patch) -> None:
        patch.setattr(train, "discriminator_loss", change)

    return plant


_sound_loss = train.discriminator_loss

fault(
    "D's loss is the mean of its halves",
    "losses",
    "add the two terms: V has no factor 1/2",
)(_with_loss(lambda real, fake: _sound_loss(real, fake) / 2))
fault(
    "D's loss has its sign turned",
    "losses",
    "D descends -V",
)(_with_loss(lambda real, fake: -_sound_loss(real, fake)))
fault(
    "D's loss sums over the minibatch",
    "losses",
    "mean; the learning rate is set for it",
)(_with_loss(lambda real, fake: len(real) * _sound_loss(real, fake)))
# Of seed 0 one gradient is so near 0 that Adam makes 1e-12 of its rounding.
_LARGE_LOGITS: dict[str, Any] = {"discriminator_scale": 0.8, "seed": 1}

fault(
    "labels of real images are smoothed to .9",
    "losses",
    "log D(x), no smoothing",
)(
    _with_loss(
        lambda real, fake: (
            0.9 * _sound_loss(real, fake) + 0.1 * _sound_loss(-real, fake)
        )
    )
)
fault(
    "probabilities are clamped at 1e-7 before the logarithm, as in Keras",
    "losses",
    "log_sigmoid of the logits",
    **_LARGE_LOGITS,
)(
    _with_loss(
        lambda real, fake: (
            -_clamped_log(real.sigmoid()) - _clamped_log(1 - fake.sigmoid())
        )
    )
)
fault(
    "softplus is linear beyond 20, as F.softplus",
    "losses",
    "F.logsigmoid, or softplus with a threshold of 1000",
    **_LARGE_LOGITS,
)(
    _with_loss(
        lambda real, fake: F.softplus(-real).mean() + F.softplus(fake).mean()
    )
)


def _clamped_log(probability: Tensor) -> Tensor:
    return probability.clamp(1e-7, 1 - 1e-7).log().mean()


@fault(
    "G descends the other loss",
    "losses",
    "read which one a port calls minimax: log(1 - D) or -log D",
)
def _other_generator_loss(patch: Patch) -> None:
    known = losses.GENERATOR_LOSSES
    patch.setitem(known, "non-saturating", known["saturating"])


@fault(
    "G's loss has a factor 1/2",
    "losses",
    "no factor; Adam hides it from the weights, not from the moments",
)
def _halved_generator_loss(patch: Patch) -> None:
    sound = losses.GENERATOR_LOSSES["non-saturating"]
    patch.setitem(
        losses.GENERATOR_LOSSES, "non-saturating", lambda fake: sound(fake) / 2
    )
