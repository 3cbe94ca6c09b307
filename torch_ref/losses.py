"""The value function of the paper, as losses on D's logits.

D(x) = sigmoid(a). With log D = logsigmoid(a) and log(1 - D) =
logsigmoid(-a) neither a value nor a gradient is lost where D saturates.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid


def discriminator_loss(
    real_logits: Float[Tensor, "m"], fake_logits: Float[Tensor, "m"]
) -> Float[Tensor, ""]:
    """What D descends: -mean log D(x) - mean log(1 - D(G(z))).

    The negative of V(D, G), equation 1 of the paper; 2 log 2 at the
    equilibrium D = 1/2.

    Example:
        >>> print(discriminator_loss(torch.zeros(4), torch.zeros(4)))
        tensor(1.3863)
    """
    return -torch.mean(logsigmoid(real_logits)) - torch.mean(
        logsigmoid(-fake_logits)
    )


def saturating_loss(fake_logits: Float[Tensor, "m"]) -> Float[Tensor, ""]:
    """What G descends in equation 1: mean log(1 - D(G(z))).

    Its gradient vanishes while D tells fake from real with ease.

    Example:
        >>> print(saturating_loss(torch.zeros(4)))
        tensor(-0.6931)
    """
    return torch.mean(logsigmoid(-fake_logits))


def non_saturating_loss(fake_logits: Float[Tensor, "m"]) -> Float[Tensor, ""]:
    """What G descends in section 3's remedy: -mean log D(G(z)).

    The same fixed point, with strong gradients early in learning.

    Example:
        >>> print(non_saturating_loss(torch.zeros(4)))
        tensor(0.6931)
    """
    return -torch.mean(logsigmoid(fake_logits))


GENERATOR_LOSSES = {
    "saturating": saturating_loss,
    "non-saturating": non_saturating_loss,
}
