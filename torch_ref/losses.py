"""What each player descends, as functions of D's logits a.

The paper's D(x) is sigmoid(a). With log D = logsigmoid(a) and log(1 - D) =
logsigmoid(-a) neither a value nor a gradient is lost where D saturates. Games
that train together have logits (games, m): a loss is the mean of theirs.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, relu, sigmoid
from torch.nn.functional import logsigmoid


class Loss(NamedTuple):
    """The losses of both players, and what D's logits say of a sample.

    Losses are means over the minibatch, of a function of each logit.

    Attributes:
        discriminator: D's loss, of the logits (m,) of x and of G(z).
        generator: G's loss, of the logits (m,) of G(z).
        probability: D(x), how likely x is real by D, of each logit.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor], Tensor]
    probability: Callable[[Tensor], Tensor]


def minimax_discriminator_loss(
    real_logits: Float[Tensor, "*m"], fake_logits: Float[Tensor, "*m"]
) -> Float[Tensor, ""]:
    """What D descends in the paper: -mean log D(x) - mean log(1 - D(G(z))).

    The negative of V(D, G), equation 1; 2 log 2 at the equilibrium D = 1/2.

    Example:
        >>> print(minimax_discriminator_loss(torch.zeros(4), torch.zeros(4)))
        tensor(1.3863)
    """
    return -torch.mean(logsigmoid(real_logits)) - torch.mean(
        logsigmoid(-fake_logits)
    )


def saturating_loss(fake_logits: Float[Tensor, "*m"]) -> Float[Tensor, ""]:
    """What G descends in equation 1: mean log(1 - D(G(z))).

    Its gradient vanishes while D tells fake from real with ease.

    Example:
        >>> print(saturating_loss(torch.zeros(4)))
        tensor(-0.6931)
    """
    return torch.mean(logsigmoid(-fake_logits))


def non_saturating_loss(fake_logits: Float[Tensor, "*m"]) -> Float[Tensor, ""]:
    """What G descends in section 3's remedy: -mean log D(G(z)).

    The same fixed point, with strong gradients early in learning.

    Example:
        >>> print(non_saturating_loss(torch.zeros(4)))
        tensor(0.6931)
    """
    return -torch.mean(logsigmoid(fake_logits))


def hinge_discriminator_loss(
    real_logits: Float[Tensor, "*m"], fake_logits: Float[Tensor, "*m"]
) -> Float[Tensor, ""]:
    """D's hinge loss: mean max(0, 1 - a(x)) + mean max(0, 1 + a(G(z))).

    Lim & Ye 2017, Miyato et al. 2018 (equation 16). The derivative at its
    kinks, where a logit is exactly +-1, is 0, as relu's.

    Example:
        >>> print(hinge_discriminator_loss(torch.zeros(4), torch.zeros(4)))
        tensor(2.)
    """
    return torch.mean(relu(1 - real_logits)) + torch.mean(relu(1 + fake_logits))


def hinge_generator_loss(fake_logits: Float[Tensor, "*m"]) -> Float[Tensor, ""]:
    """G's loss against a hinge: -mean a(G(z)), which has no margin.

    Lim & Ye 2017, Miyato et al. 2018 (equation 17).
    """
    return -torch.mean(fake_logits)


def hinge_probability(logits: Tensor) -> Tensor:
    """1 where D takes a sample to be real, a > 0, else 0.

    The best D under a hinge is the sign of p_data - p_g (Lim & Ye 2017): no
    probability can be read from it. A mean is the share taken to be real.
    """
    return (logits > 0).to(logits.dtype)


def least_squares_discriminator_loss(
    real_logits: Float[Tensor, "*m"], fake_logits: Float[Tensor, "*m"]
) -> Float[Tensor, ""]:
    """D's squared error: mean (a(x) - 1)^2 / 2 + mean a(G(z))^2 / 2.

    Mao et al. 2017, equation 9: the labels are 1 and 0, and G's target is 1.

    Example:
        >>> a = torch.zeros(4)
        >>> print(least_squares_discriminator_loss(a, a))
        tensor(0.5000)
    """
    real_error = torch.mean(torch.square(real_logits - 1))
    return (real_error + torch.mean(torch.square(fake_logits))) / 2


def least_squares_generator_loss(
    fake_logits: Float[Tensor, "*m"],
) -> Float[Tensor, ""]:
    """G's squared error: mean (a(G(z)) - 1)^2 / 2 (Mao et al. 2017)."""
    return torch.mean(torch.square(fake_logits - 1)) / 2


def least_squares_probability(logits: Tensor) -> Tensor:
    """The logits as they are: a regression on the labels 1 and 0.

    The best D is p_data / (p_data + p_g), as the paper's (Mao et al. 2017,
    equation 5), but nothing holds its outputs in [0, 1].
    """
    return logits


LOSSES = {
    "saturating": Loss(minimax_discriminator_loss, saturating_loss, sigmoid),
    "non-saturating": Loss(
        minimax_discriminator_loss, non_saturating_loss, sigmoid
    ),
    "hinge": Loss(
        hinge_discriminator_loss, hinge_generator_loss, hinge_probability
    ),
    "least-squares": Loss(
        least_squares_discriminator_loss,
        least_squares_generator_loss,
        least_squares_probability,
    ),
}
