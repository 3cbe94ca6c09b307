"""Precision, rounding and the stream of numbers."""

import torch
from torch import Tensor

from parity_tests.faults.base import (
    Patch,
    change_batch,
    change_discriminator,
    fault,
    with_step,
)
from torch_ref import layers


def _rounded(tensor: Tensor, kind: torch.dtype) -> Tensor:
    return tensor + (tensor.to(kind).to(tensor.dtype) - tensor).detach()


@fault(
    "one matmul is in float32",
    "numbers",
    "a float32 leaf under x64: give param_dtype and dtype",
)
def _float32_product(patch: Patch) -> None:
    sound = layers.Dense.forward
    patch.setattr(
        layers.Dense,
        "forward",
        lambda self, h: _rounded(sound(self, h), torch.float32),
    )


@fault(
    "inputs of products are rounded to 10 bits, as TF32 does",
    "numbers",
    "jax_default_matmul_precision='highest'; allow_tf32=False",
)
def _tf32(patch: Patch) -> None:
    sound = layers.Dense.forward
    patch.setattr(
        layers.Dense,
        "forward",
        lambda self, h: sound(self, _rounded(h, torch.float16)),
    )


@fault(
    "a weight stays in float32",
    "numbers",
    "the whole game in one precision",
)
def _float32_leaf(patch: Patch) -> None:
    def step(step, game, batch):
        game, metrics = step(game, batch)
        with torch.no_grad():
            weight = game.generator.network.output.weight
            weight.copy_(weight.float().double())
        return game, metrics

    with_step(step)(patch)


fault(
    "images are multiplied by 1/255, as XLA does for x / 255",
    "numbers",
    "normalise once, in NumPy",
    equivalent="one unit in the last place, below every bound",
)(
    change_batch(
        lambda batch: change_discriminator(
            batch,
            x=(batch.discriminator.x * 255).round() * (1 / 255),
        )
    )
)
