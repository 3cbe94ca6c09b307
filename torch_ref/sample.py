"""Samples of the players, and batches drawn on the device."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiment.config import Config
from experiment.pixels import Data
from experiment.stream import (
    Batch,
    DiscriminatorBatch,
    GeneratorBatch,
    map_arrays,
    mask_units,
)
from torch_ref.game import Game
from torch_ref.graphs import Train, graph_train
from torch_ref.pixels import DevicePixels, place_data
from torch_ref.processes import processes, rows
from torch_ref.train import Metrics, train

_PIECE = 10  # iterations of a graph


def sample_images(game: Game, z: NDArray[np.floating]) -> NDArray[np.floating]:
    """G(z) in evaluation: images (n, h, w, c) in [0, 1].

    For one-dimensional data: numbers (n, 1) in the data's own range.
    """
    images = game.generate(_like(game, z)).cpu().numpy()
    tanh = game.generator.network.config.output == "tanh"
    return (images + 1) / 2 if tanh else images


def discriminate(game: Game, x: NDArray[np.floating]) -> NDArray[np.floating]:
    """D(x) in evaluation, (n,): how likely each x is real.

    What a logit says of that depends on the loss: ``losses.py``.
    """
    return game.discriminate(_like(game, x)).cpu().numpy()


def _like(game: Game, array: NDArray[np.floating]) -> Tensor:
    parameter = next(game.generator.network.parameters())
    return torch.tensor(array, device=parameter.device)


def sample_batch(
    config: Config,
    data: Tensor | DevicePixels,
    rng: torch.Generator,
    rows: slice = slice(None),
) -> Batch | DiscriminatorBatch:
    """The batch of one iteration, drawn by PyTorch's generator.

    Distributed as ``experiment.stream.Stream.batch``, with other numbers. Of
    several processes each takes its rows of it.
    """
    k, m = config.k, config.batch_size
    like: Any = {"dtype": data.dtype, "device": rng.device, "generator": rng}

    def noise(*shape: int) -> Tensor:
        shape = (*shape, config.noise_size)
        if config.noise == "normal":
            z = torch.randn(shape, **like)
        else:
            z = 2 * torch.rand(shape, **like) - 1
        return config.noise_scale * z[..., rows, :]

    def masks(*shape: int) -> dict[str, Tensor]:
        layers = mask_units(config, data[0].numel())
        return {
            name: (torch.rand(*shape, n, **like)[..., rows, :] < keep).to(
                data.dtype
            )
            / keep
            for name, (n, keep) in layers.items()
        }

    def discriminator_batch(*shape: int) -> DiscriminatorBatch:
        chosen = torch.randint(
            len(data), shape, device=rng.device, generator=rng
        )
        return DiscriminatorBatch(
            x=data[chosen[..., rows]],
            z=noise(*shape),
            real_masks=masks(*shape),
            fake_masks=masks(*shape),
        )

    if config.updates == "simultaneous":
        return discriminator_batch(m)
    return Batch(discriminator_batch(k, m), GeneratorBatch(noise(m), masks(m)))


def device_stream(
    config: Config, data: Data, device: Any = None
) -> Callable[[Game, int, int], tuple[Game, Metrics]]:
    """``train`` with batches drawn on the device, inside the run.

    Returns:
        A function of (game, first, count) that runs ``count`` iterations from
        number ``first``; a pure function of the seed and these numbers.
    """
    on_device = place_data(data, device)
    rng = torch.Generator(device or "cpu")

    def draw(step: int) -> Batch | DiscriminatorBatch:
        # Odd multiples of the seed: no two steps of a run share 32 bits,
        # which is all that the CPU's generator takes.
        rng.manual_seed((config.seed * 0x9E3779B1 + step) % 2**32)
        return sample_batch(config, on_device, rng, rows(config.batch_size))

    if rng.device.type == "cuda" and processes() == 1:
        return train_in_pieces(draw, graph_train(train, _PIECE))

    def run(game: Game, first: int, count: int) -> tuple[Game, Metrics]:
        steps = range(first, first + count)
        metrics = [game.step(draw(step))[1] for step in steps]
        return game, Metrics(*map(torch.stack, zip(*metrics, strict=True)))

    return run


def train_in_pieces(
    draw: Callable[[int], Batch | DiscriminatorBatch], train: Train
) -> Callable[[Game, int, int], tuple[Game, Metrics]]:
    """``device_stream`` by a variant of ``train`` that takes stacked batches.

    Drawn and stacked by Python, and trained by a graph of as many iterations.
    """

    def run(game: Game, first: int, count: int) -> tuple[Game, Metrics]:
        parts = []
        for start in range(first, first + count, _PIECE):
            stop = min(start + _PIECE, first + count)
            batches = map_arrays(
                lambda *arrays: torch.stack(arrays),
                *map(draw, range(start, stop)),
            )
            parts.append(train(game, batches)[1])
        return game, Metrics(*map(torch.cat, zip(*parts, strict=True)))

    return run
