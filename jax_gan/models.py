"""The two networks: G maps noise z to a sample, D a sample to a logit."""

from functools import partial
from math import prod
from typing import Any

from flax import linen as nn
from jax import Array
from jax.nn import relu, sigmoid, tanh
from jaxtyping import Float

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

    config: Config
    shape: tuple[int, ...]

    def setup(self):
        """Builds the layers."""
        config = self.config
        layer = partial(Dense, config=config, scale=config.generator_scale)
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

    config: Config
    shape: tuple[int, ...]

    def setup(self):
        """Builds the layers."""
        config = self.config
        layer = partial(Dense, config=config, scale=config.discriminator_scale)
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
    """7x7 features, doubled to 14x14 and to 28x28 (Radford et al. 2016)."""

    config: Config
    shape: tuple[int, ...]

    def setup(self):
        """Builds the layers; none has a bias before a batch norm."""
        config = self.config
        first, second = config.generator_hidden
        dense = partial(Dense, config=config, scale=config.generator_scale)
        layer = partial(
            TransposedConvolution, config=config, scale=config.generator_scale
        )
        self.project = dense(7 * 7 * first, use_bias=False)
        self.norm_0 = BatchNorm(config)
        self.upsample = layer(second, use_bias=False)
        self.norm_1 = BatchNorm(config)
        self.output = layer(self.shape[-1])

    def __call__(self, z: Float[Array, "m n"]) -> Float[Array, "m 28 28 c"]:
        """G(z)."""
        h = self.project(z).reshape(len(z), 7, 7, -1)
        h = relu(self.norm_0(h))
        h = relu(self.norm_1(self.upsample(h)))
        return OUTPUTS[self.config.output](self.output(h))


class DCGANDiscriminator(nn.Module):
    """28x28 halved to 14x14 and to 7x7, then one logit."""

    config: Config
    shape: tuple[int, ...]

    def setup(self):
        """Builds the layers; none has a bias before a batch norm."""
        config = self.config
        first, second = config.discriminator_hidden
        dense = partial(Dense, config=config, scale=config.discriminator_scale)
        layer = partial(
            Convolution, config=config, scale=config.discriminator_scale
        )
        self.downsample_0 = layer(first)
        self.downsample_1 = layer(second, use_bias=False)
        self.norm = BatchNorm(config)
        self.output = dense(1)

    def __call__(
        self, x: Float[Array, "m 28 28 c"], masks: dict[str, Array]
    ) -> Float[Array, "m"]:
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
    G, D = NETWORKS[config.network]
    return G(config, shape), D(config, shape)
