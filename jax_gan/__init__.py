"""The GAN of Goodfellow et al. 2014 in JAX, functional and jitted."""

from jax_gan.create import create
from jax_gan.device import place, select_device
from jax_gan.sample import device_stream, discriminate, sample_images
from jax_gan.train import train, train_step
from jax_gan.weights import from_numpy, to_numpy

__all__ = [
    "create",
    "device_stream",
    "discriminate",
    "from_numpy",
    "place",
    "sample_images",
    "select_device",
    "to_numpy",
    "train",
    "train_step",
]
