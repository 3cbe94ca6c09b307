"""Losses: sign, scale and form."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from parity_tests.faults.base import Patch, Plant, fault
from torch_ref.losses import LOSSES


def _with_loss(name: str = "non-saturating", **changes: Callable) -> Plant:
    """Other functions in a loss."""

    def plant(patch: Patch) -> None:
        patch.setitem(LOSSES, name, LOSSES[name]._replace(**changes))

    return plant


_sound = LOSSES["non-saturating"]

fault(
    "D's loss is the mean of its halves",
    "losses",
    "add the two terms: V has no factor 1/2",
)(
    _with_loss(
        discriminator=lambda real, fake: _sound.discriminator(real, fake) / 2
    )
)
fault(
    "D's loss has its sign turned",
    "losses",
    "D descends -V",
)(
    _with_loss(
        discriminator=lambda real, fake: -_sound.discriminator(real, fake)
    )
)
fault(
    "D's loss sums over the minibatch",
    "losses",
    "mean; the learning rate is set for it",
)(
    _with_loss(
        discriminator=lambda real, fake: (
            len(real) * _sound.discriminator(real, fake)
        )
    )
)
# Of seed 0 one gradient is so near 0 that Adam makes 1e-12 of its rounding.
_LARGE_LOGITS: dict[str, Any] = {"discriminator_scale": 0.8, "seed": 1}

fault(
    "labels of real images are smoothed to .9",
    "losses",
    "log D(x), no smoothing",
)(
    _with_loss(
        discriminator=lambda real, fake: (
            0.9 * _sound.discriminator(real, fake)
            + 0.1 * _sound.discriminator(-real, fake)
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
        discriminator=lambda real, fake: (
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
        discriminator=lambda real, fake: (
            F.softplus(-real).mean() + F.softplus(fake).mean()
        )
    )
)


def _clamped_log(probability: Tensor) -> Tensor:
    return probability.clamp(1e-7, 1 - 1e-7).log().mean()


fault(
    "G descends the other loss",
    "losses",
    "read which one a port calls minimax: log(1 - D) or -log D",
)(_with_loss(generator=LOSSES["saturating"].generator))
fault(
    "G's loss has a factor 1/2",
    "losses",
    "no factor; Adam hides it from the weights, not from the moments",
)(_with_loss(generator=lambda fake: _sound.generator(fake) / 2))


# Hinge and least squares, which a port takes from other papers


def _hinge(margin: float = 1.0, relu: Callable = F.relu) -> Callable:
    def loss(real: Tensor, fake: Tensor) -> Tensor:
        return relu(margin - real).mean() + relu(margin + fake).mean()

    return loss


# All logits of x are exactly 1 at first: D's biases are 1, its kernels nothing.
_AT_THE_KINK: dict[str, Any] = {
    "loss": "hinge",
    "bias": 1.0,
    "discriminator_scale": 1e-20,
}

fault(
    "hinge: the margin is 0",
    "losses",
    "max(0, 1 - a) and max(0, 1 + a): D must be right by a margin of 1",
    loss="hinge",
)(_with_loss("hinge", discriminator=_hinge(margin=0)))
fault(
    "hinge: G's loss has a margin too",
    "losses",
    "-mean a(G(z)) for G: the margin is D's alone",
    loss="hinge",
)(_with_loss("hinge", generator=lambda fake: F.relu(1 - fake).mean()))
fault(
    "hinge: G's loss has its sign turned",
    "losses",
    "G descends -mean a(G(z)): it wants the logits of real samples",
    loss="hinge",
)(_with_loss("hinge", generator=lambda fake: fake.mean()))
fault(
    "hinge by maximum(0, h), whose derivative at the kink is 1/2",
    "losses",
    "relu, whose derivative at 0 is 0 in both frameworks",
    **_AT_THE_KINK,
)(
    _with_loss(
        "hinge",
        discriminator=_hinge(
            relu=lambda h: torch.maximum(h, torch.zeros_like(h))
        ),
    )
)
fault(
    "hinge: D(x) is read as a sigmoid of the logits",
    "losses",
    "under a hinge the sign of a logit is all that it says: a > 0",
    loss="hinge",
)(_with_loss("hinge", probability=torch.sigmoid))

_squares = LOSSES["least-squares"]

fault(
    "least squares: D's loss lacks the factor 1/2",
    "losses",
    "mean (a(x) - 1)^2 / 2 + mean a(G(z))^2 / 2",
    loss="least-squares",
)(
    _with_loss(
        "least-squares",
        discriminator=lambda *logits: 2 * _squares.discriminator(*logits),
    )
)
fault(
    "least squares: labels of real and fake images are swapped",
    "losses",
    "1 for x, 0 for G(z)",
    loss="least-squares",
)(
    _with_loss(
        "least-squares",
        discriminator=lambda real, fake: _squares.discriminator(fake, real),
    )
)
fault(
    "least squares: G's target is 0, the label of its samples",
    "losses",
    "1, the label of real samples",
    loss="least-squares",
)(_with_loss("least-squares", generator=lambda fake: (fake**2).mean() / 2))
fault(
    "least squares of a sigmoid of the logits",
    "losses",
    "squared errors of the logits: a sigmoid brings vanishing gradients back",
    loss="least-squares",
)(
    _with_loss(
        "least-squares",
        discriminator=lambda real, fake: _squares.discriminator(
            real.sigmoid(), fake.sigmoid()
        ),
        generator=lambda fake: _squares.generator(fake.sigmoid()),
    )
)
