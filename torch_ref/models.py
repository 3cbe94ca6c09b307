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
    initialize,
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
    """7x7 features, doubled to 14x14 and to 28x28 (Radford et al. 2016)."""

    def __init__(self, config: Config, shape: tuple[int, ...]):
        super().__init__()
        self.config, self.shape = config, shape
        first, second = config.generator_hidden
        self.project = Dense(config.noise_size, 7 * 7 * first, bias=False)
        self.norm_0 = BatchNorm(first)
        self.upsample = TransposedConvolution(first, second, bias=False)
        self.norm_1 = BatchNorm(second)
        self.output = TransposedConvolution(second, shape[-1])

    def forward(self, z: Float[Tensor, "m n"]) -> Float[Tensor, "m 28 28 c"]:
        """G(z)."""
        h = self.project(z).reshape(len(z), 7, 7, -1)
        h = relu(self.norm_0(h))
        h = relu(self.norm_1(self.upsample(h)))
        return OUTPUTS[self.config.output](self.output(h))


class DCGANDiscriminator(nn.Module):
    """28x28 halved to 14x14 and to 7x7, then one logit."""

    def __init__(self, config: Config, shape: tuple[int, ...]):
        super().__init__()
        self.config, self.shape = config, shape
        first, second = config.discriminator_hidden
        self.downsample_0 = Convolution(shape[-1], first)
        self.downsample_1 = Convolution(first, second, bias=False)
        self.norm = BatchNorm(second)
        self.output = Dense(7 * 7 * second, 1)

    def forward(
        self, x: Float[Tensor, "m 28 28 c"], masks: dict[str, Tensor]
    ) -> Float[Tensor, "m"]:
        """The logit of D(x); a DCGAN has no dropout, so no masks."""
        h = leaky_relu(self.downsample_0(x), self.config.slope)
        h = leaky_relu(self.norm(self.downsample_1(h)), self.config.slope)
        return self.output(h.reshape(len(x), -1))[:, 0]


NETWORKS: dict[str, tuple[Any, Any]] = {
    "mlp": (MLPGenerator, MLPDiscriminator),
    "maxout": (MLPGenerator, MaxoutDiscriminator),
    "dcgan": (DCGANGenerator, DCGANDiscriminator),
}


def create_networks(config: Config, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """G and D of a config, for samples of the given shape."""
    rng = torch.Generator().manual_seed(config.seed)
    G, D = (kind(config, shape) for kind in NETWORKS[config.network])
    scales = config.generator_scale, config.discriminator_scale
    for network, scale in zip((G, D), scales, strict=True):
        network.to(DTYPES[config.precision])
        network.to(memory_format=torch.channels_last)
        initialize(network, config, scale, rng)
    return G, D
