"""The paper's discriminator: maxout units (Goodfellow et al. 2013)."""

from functools import partial
from typing import Any

from flax import linen as nn
from jax import Array
from jaxtyping import Float

from experiment.architecture import Architecture
from jax_gan.layers import Dense, dropout


def maxout(h: Float[Array, "m n"], pieces: int) -> Float[Array, "m u"]:
    """Largest of each ``pieces`` neighbours; a tie shares its gradient.

    Example:
        >>> import jax.numpy as jnp
        >>> print(maxout(jnp.array([[1.0, 3.0, 2.0, 0.0]]), 2))
        [[3. 2.]]
    """
    return h.reshape(len(h), -1, pieces).max(-1)


class MaxoutDiscriminator(nn.Module):
    """Maxout layers of ``discriminator_hidden`` units, with dropout."""

    config: Architecture
    shape: tuple[int, ...]

    def setup(self):
        """Builds the layers; a unit is the largest of its affine maps."""
        config = self.config
        layer: Any = partial(Dense, config=config)
        self.hidden = [
            layer(config.pieces * units)
            for units in config.discriminator_hidden
        ]
        self.output = layer(1)

    def __call__(
        self, x: Float[Array, "m *sample"], masks: dict[str, Array]
    ) -> Float[Array, "m"]:
        """The logit of D(x); ``masks`` is empty in evaluation."""
        h = dropout(x.reshape(len(x), -1), masks.get("input"))
        for i, layer in enumerate(self.hidden):
            h = maxout(layer(h), self.config.pieces)
            h = dropout(h, masks.get(f"hidden_{i}"))
        return self.output(h)[:, 0]
