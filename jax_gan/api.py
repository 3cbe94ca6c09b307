"""What ``import jax_gan`` offers."""

from jax_gan.accelerate import VARIANTS
from jax_gan.create import create
from jax_gan.device import fetch, make_deterministic, place, select_device
from jax_gan.parallel import device_count, spread
from jax_gan.processes import gather, join, rows
from jax_gan.sample import device_stream, discriminate, sample_images
from jax_gan.seeds import stack_games, train_seeds
from jax_gan.train import train, train_step
from jax_gan.weights import from_numpy, to_numpy

__all__ = [
    "VARIANTS",
    "create",
    "device_count",
    "device_stream",
    "discriminate",
    "fetch",
    "from_numpy",
    "gather",
    "join",
    "make_deterministic",
    "place",
    "rows",
    "sample_images",
    "select_device",
    "spread",
    "stack_games",
    "to_numpy",
    "train",
    "train_seeds",
    "train_step",
]
