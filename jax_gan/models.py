"""The two networks: G maps noise z to a sample, D a sample to a logit."""

from functools import partial
from math import prod
from typing import Any

from flax import linen as nn
from jax import Array
from jax.nn import relu, sigmoid, tanh
from jaxtyping import Float

from experiment.architecture import Architecture, architecture
from experiment.config import Config
from jax_gan.layers import (
    BatchNorm,
    Convolution,
    Dense,
    TransposedConvolution,
    dropout,
    leaky_relu,
)
from jax_gan.maxout import MaxoutDiscriminator

OUTPUTS = {"sigmoid": sigmoid, "tanh": tanh, "linear": lambda h: h}


class MLPGenerator(nn.Module):
    """ReLU layers of ``generator_hidden`` units, then the output."""

    config: Architecture
    shape: tuple[int, ...]

    def setup(self):
        """Builds the layers."""
        config = self.config
        layer = partial(Dense, config=config)
        self.hidden = [layer(units) for units in config.generator_hidden]
        self.output = layer(prod(self.shape))

    def __call__(self, z: Float[Array, "m n"]) -> Float[Array, "m *sample"]:
        """G(z)."""
        h = z
        for layer in self.hidden:
            h = relu(layer(h))
        x = OUTPUTS[self.config.output](self.output(h))
        return x.reshape(len(z), *self.shape)


class MLPDiscriminator(nn.Module):
    """Leaky ReLU layers of ``discriminator_hidden`` units, with dropout."""

    config: Architecture
    shape: tuple[int, ...]

    def setup(self):
        """Builds the layers."""
        config = self.config
        layer = partial(Dense, config=config)
        self.hidden = [layer(units) for units in config.discriminator_hidden]
        self.output = layer(1)

    def __call__(
        self, x: Float[Array, "m *sample"], masks: dict[str, Array]
    ) -> Float[Array, "m"]:
        """The logit of D(x); ``masks`` is empty in evaluation."""
        h = dropout(x.reshape(len(x), -1), masks.get("input"))
        for i, layer in enumerate(self.hidden):
            h = leaky_relu(layer(h), self.config.slope)
            h = dropout(h, masks.get(f"hidden_{i}"))
        return self.output(h)[:, 0]


class DCGANGenerator(nn.Module):
    """Small images, doubled by each layer: 7 to 14 to 28 (Radford 2016)."""

    config: Architecture
    shape: tuple[int, ...]

    def setup(self):
        """Builds the layers; none has a bias before a batch norm."""
        config = self.config
        first, *others = config.generator_hidden
        dense = partial(Dense, config=config)
        layer = partial(TransposedConvolution, config=config)
        self.side = self.shape[0] // 2 ** len(config.generator_hidden)
        self.project = dense(self.side**2 * first, use_bias=False)
        self.upsample = [layer(units, use_bias=False) for units in others]
        self.norm = [BatchNorm(config) for _ in config.generator_hidden]
        self.output = layer(self.shape[-1])

    def __call__(self, z: Float[Array, "m n"]) -> Float[Array, "m h w c"]:
        """G(z)."""
        h = self.project(z).reshape(len(z), self.side, self.side, -1)
        h = relu(self.norm[0](h))
        for layer, norm in zip(self.upsample, self.norm[1:], strict=True):
            h = relu(norm(layer(h)))
        return OUTPUTS[self.config.output](self.output(h))


class DCGANDiscriminator(nn.Module):
    """Images halved by each layer, then dense layers, then one logit."""

    config: Architecture
    shape: tuple[int, ...]

    def setup(self):
        """Builds the layers; none has a bias before a batch norm."""
        config = self.config
        first, *others = config.discriminator_hidden
        dense = partial(Dense, config=config)
        layer = partial(Convolution, config=config)
        self.input = layer(first)
        self.downsample = [layer(units, use_bias=False) for units in others]
        self.norm = [BatchNorm(config) for _ in others]
        self.dense = [dense(units) for units in config.discriminator_dense]
        self.output = dense(1)

    def __call__(
        self, x: Float[Array, "m h w c"], masks: dict[str, Array]
    ) -> Float[Array, "m"]:
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

    Their weights are zeros until ``create`` sets them.
    """
    G, D = NETWORKS[config.network]
    of = architecture(config)
    return G(of, shape), D(of, shape)
