"""The two networks: G maps noise z to a sample, D a sample to a logit."""

from itertools import pairwise
from math import prod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn, relu, sigmoid, tanh

from experiment.config import Config
from torch_ref.device import DTYPES
from torch_ref.layers import (
    BatchNorm,
    Convolution,
    Dense,
    TransposedConvolution,
    dropout,
    leaky_relu,
)
from torch_ref.maxout import MaxoutDiscriminator

OUTPUTS = {"sigmoid": sigmoid, "tanh": tanh, "linear": lambda h: h}


class MLPGenerator(nn.Module):
    """ReLU layers of ``generator_hidden`` units, then the output."""

    def __init__(self, config: Config, shape: tuple[int, ...]):
        super().__init__()
        self.config, self.shape = config, shape
        units = [config.noise_size, *config.generator_hidden]
        self.hidden = nn.ModuleList(Dense(*pair) for pair in pairwise(units))
        self.output = Dense(units[-1], prod(shape))

    def forward(self, z: Float[Tensor, "m n"]) -> Float[Tensor, "m *sample"]:
        """G(z)."""
        h = z
        for layer in self.hidden:
            h = relu(layer(h))
        x = OUTPUTS[self.config.output](self.output(h))
        return x.reshape(len(z), *self.shape)


class MLPDiscriminator(nn.Module):
    """Leaky ReLU layers of ``discriminator_hidden`` units, with dropout."""

    def __init__(self, config: Config, shape: tuple[int, ...]):
        super().__init__()
        self.config, self.shape = config, shape
        units = [prod(shape), *config.discriminator_hidden]
        self.hidden = nn.ModuleList(Dense(*pair) for pair in pairwise(units))
        self.output = Dense(units[-1], 1)

    def forward(
        self, x: Float[Tensor, "m *sample"], masks: dict[str, Tensor]
    ) -> Float[Tensor, "m"]:
        """The logit of D(x); ``masks`` is empty in evaluation."""
        h = dropout(x.reshape(len(x), -1), masks.get("input"))
        for i, layer in enumerate(self.hidden):
            h = leaky_relu(layer(h), self.config.slope)
            h = dropout(h, masks.get(f"hidden_{i}"))
        return self.output(h)[:, 0]


class DCGANGenerator(nn.Module):
    """Small images, doubled by each layer: 7 to 14 to 28 (Radford 2016)."""

    def __init__(self, config: Config, shape: tuple[int, ...]):
        super().__init__()
        self.config, self.shape = config, shape
        units = config.generator_hidden
        self.side = shape[0] // 2 ** len(units)
        inputs = self.side**2 * units[0]
        self.project = Dense(config.noise_size, inputs, bias=False)
        self.upsample = nn.ModuleList(
            TransposedConvolution(*pair, bias=False) for pair in pairwise(units)
        )
        self.norm = nn.ModuleList(BatchNorm(features) for features in units)
        self.output = TransposedConvolution(units[-1], shape[-1])

    def forward(self, z: Float[Tensor, "m n"]) -> Float[Tensor, "m h w c"]:
        """G(z)."""
        h = self.project(z).reshape(len(z), self.side, self.side, -1)
        h = relu(self.norm[0](h))
        for layer, norm in zip(self.upsample, self.norm[1:], strict=True):
            h = relu(norm(layer(h)))
        return OUTPUTS[self.config.output](self.output(h))


class DCGANDiscriminator(nn.Module):
    """Images halved by each layer, then dense layers, then one logit."""

    def __init__(self, config: Config, shape: tuple[int, ...]):
        super().__init__()
        self.config, self.shape = config, shape
        units = config.discriminator_hidden
        side = shape[0] // 2 ** len(units)
        self.input = Convolution(shape[-1], units[0])
        self.downsample = nn.ModuleList(
            Convolution(*pair, bias=False) for pair in pairwise(units)
        )
        self.norm = nn.ModuleList(BatchNorm(features) for features in units[1:])
        sizes = [side**2 * units[-1], *config.discriminator_dense]
        self.dense = nn.ModuleList(Dense(*pair) for pair in pairwise(sizes))
        self.output = Dense(sizes[-1], 1)

    def forward(
        self, x: Float[Tensor, "m h w c"], masks: dict[str, Tensor]
    ) -> Float[Tensor, "m"]:
        """The logit of D(x); a DCGAN has no dropout, so no masks."""
        h = leaky_relu(self.input(x), self.config.slope)
        for layer, norm in zip(self.downsample, self.norm, strict=True):
            h = leaky_relu(norm(layer(h)), self.config.slope)
        h = h.reshape(len(x), -1)
        for dense in self.dense:
            h = leaky_relu(dense(h), self.config.slope)
        return self.output(h)[:, 0]


NETWORKS: dict[str, tuple[Any, Any]] = {
    "mlp": (MLPGenerator, MLPDiscriminator),
    "maxout": (MLPGenerator, MaxoutDiscriminator),
    "dcgan": (DCGANGenerator, DCGANDiscriminator),
}


def create_networks(config: Config, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """G and D of a config, for samples of the given shape.

    Their weights are PyTorch's until ``create`` sets them.
    """
    G, D = (kind(config, shape) for kind in NETWORKS[config.network])
    for network in (G, D):
        network.to(DTYPES[config.precision])
        network.to(memory_format=torch.channels_last)
    return G, D
