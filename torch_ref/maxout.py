"""The paper's discriminator: maxout units (Goodfellow et al. 2013)."""

from itertools import pairwise
from math import prod

from jaxtyping import Float
from torch import Tensor, nn

from experiment.config import Config
from torch_ref.layers import Dense, dropout


def maxout(h: Float[Tensor, "m n"], pieces: int) -> Float[Tensor, "m u"]:
    """Largest of each ``pieces`` neighbours; a tie shares its gradient.

    ``max`` in place of ``amax`` would give it to one of them.

    Example:
        >>> import torch
        >>> maxout(torch.tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
        tensor([[3., 2.]])
    """
    return h.reshape(len(h), -1, pieces).amax(-1)


class MaxoutDiscriminator(nn.Module):
    """Maxout layers of ``discriminator_hidden`` units, with dropout."""

    def __init__(self, config: Config, shape: tuple[int, ...]):
        super().__init__()
        self.config, self.shape = config, shape
        units = [prod(shape), *config.discriminator_hidden]
        self.hidden = nn.ModuleList(
            Dense(inputs, config.pieces * outputs)
            for inputs, outputs in pairwise(units)
        )
        self.output = Dense(units[-1], 1)

    def forward(
        self, x: Float[Tensor, "m *sample"], masks: dict[str, Tensor]
    ) -> Float[Tensor, "m"]:
        """The logit of D(x); ``masks`` is empty in evaluation."""
        h = dropout(x.reshape(len(x), -1), masks.get("input"))
        for i, layer in enumerate(self.hidden):
            h = maxout(layer(h), self.config.pieces)
            h = dropout(h, masks.get(f"hidden_{i}"))
        return self.output(h)[:, 0]
