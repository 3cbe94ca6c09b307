"""What ``import torch_ref`` offers."""

from torch_ref.accelerate import VARIANTS
from torch_ref.create import create
from torch_ref.device import fetch, make_deterministic, place, select_device
from torch_ref.parallel import device_count, spread
from torch_ref.processes import gather, join, rows
from torch_ref.sample import device_stream, discriminate, sample_images
from torch_ref.seeds import stack_games, train_seeds
from torch_ref.train import train, train_step
from torch_ref.weights import from_numpy, to_numpy

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
