"""The value function of the paper, as losses on D's logits.

D(x) = sigmoid(a). With log D = log_sigmoid(a) and log(1 - D) =
log_sigmoid(-a) neither a value nor a gradient is lost where D saturates.
"""

import jax.numpy as jnp
from jax import Array
from jax.nn import log_sigmoid
from jaxtyping import Float


def discriminator_loss(
    real_logits: Float[Array, "m"], fake_logits: Float[Array, "m"]
) -> Float[Array, ""]:
    """What D descends: -mean log D(x) - mean log(1 - D(G(z))).

    The negative of V(D, G), equation 1 of the paper; 2 log 2 at the
    equilibrium D = 1/2.

    Example:
        >>> print(discriminator_loss(jnp.zeros(4), jnp.zeros(4)))
        1.3862944
    """
    return -jnp.mean(log_sigmoid(real_logits)) - jnp.mean(
        log_sigmoid(-fake_logits)
    )


def saturating_loss(fake_logits: Float[Array, "m"]) -> Float[Array, ""]:
    """What G descends in equation 1: mean log(1 - D(G(z))).

    Its gradient vanishes while D tells fake from real with ease.

    Example:
        >>> print(saturating_loss(jnp.zeros(4)))
        -0.6931472
    """
    return jnp.mean(log_sigmoid(-fake_logits))


def non_saturating_loss(fake_logits: Float[Array, "m"]) -> Float[Array, ""]:
    """What G descends in section 3's remedy: -mean log D(G(z)).

    The same fixed point, with strong gradients early in learning.

    Example:
        >>> print(non_saturating_loss(jnp.zeros(4)))
        0.6931472
    """
    return -jnp.mean(log_sigmoid(fake_logits))


GENERATOR_LOSSES = {
    "saturating": saturating_loss,
    "non-saturating": non_saturating_loss,
}
