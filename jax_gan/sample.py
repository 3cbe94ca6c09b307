"""Samples of the players, and batches drawn on the device."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax, random
from numpy.typing import NDArray

from experiment.config import Config
from experiment.pixels import Data
from experiment.stream import (
    Batch,
    DiscriminatorBatch,
    GeneratorBatch,
    mask_units,
)
from jax_gan.game import Game
from jax_gan.parallel import copy_inside, local, split_inside
from jax_gan.pixels import DevicePixels, place_data
from jax_gan.train import Metrics


def sample_images(game: Game, z: NDArray[np.floating]) -> NDArray[np.floating]:
    """G(z) in evaluation: images (n, h, w, c) in [0, 1].

    For one-dimensional data: numbers (n, 1) in the data's own range.
    """
    images = np.array(local(game).generate(jnp.asarray(z)))
    tanh = game.generator.network.config.output == "tanh"
    return (images + 1) / 2 if tanh else images


def discriminate(game: Game, x: NDArray[np.floating]) -> NDArray[np.floating]:
    """D(x) in evaluation, (n,): how likely each x is real.

    What a logit says of that depends on the loss: ``losses.py``.
    """
    return np.array(local(game).discriminate(jnp.asarray(x)))


def sample_batch(
    config: Config, data: Array | DevicePixels, key: Array
) -> Batch | DiscriminatorBatch:
    """The batch of one iteration, drawn by JAX from the key.

    Distributed as ``experiment.stream.Stream.batch``, with other numbers.
    """
    k, m = config.k, config.batch_size
    keys = random.split(key, 6)

    def noise(key: Array, *shape: int) -> Array:
        shape = (*shape, config.noise_size)
        if config.noise == "normal":
            return config.noise_scale * random.normal(key, shape, data.dtype)
        width = config.noise_scale
        return random.uniform(key, shape, data.dtype, -width, width)

    def masks(key: Array, *shape: int) -> dict[str, Array]:
        layers = mask_units(config, data[0].size)
        return {
            name: random.bernoulli(
                random.fold_in(key, i), jnp.float32(keep), (*shape, n)
            )
            / jnp.asarray(keep, data.dtype)
            for i, (name, (n, keep)) in enumerate(layers.items())
        }

    def discriminator_batch(*shape: int) -> DiscriminatorBatch:
        return DiscriminatorBatch(
            x=data[random.randint(keys[0], shape, 0, len(data), jnp.int32)],
            z=noise(keys[1], *shape),
            real_masks=masks(keys[2], *shape),
            fake_masks=masks(keys[3], *shape),
        )

    if config.updates == "simultaneous":
        return discriminator_batch(m)
    return Batch(
        discriminator_batch(k, m),
        GeneratorBatch(noise(keys[4], m), masks(keys[5], m)),
    )


def device_stream(
    config: Config, data: Data, device: Any = None
) -> Callable[[Game, int, int], tuple[Game, Metrics]]:
    """``train`` with batches drawn on the device, inside the run.

    Returns:
        A function of (game, first, count) that runs ``count`` iterations from
        number ``first``; a pure function of the seed and these numbers.
    """
    on_device = place_data(data, device)
    # The generator of the hardware: several times faster than the default.
    key = jax.device_put(random.key(config.seed, impl="rbg"), device)
    any_run = config.of_any_run()
    return lambda game, first, count: _run(
        any_run, game, on_device, key, first, count, device
    )


@partial(
    jax.jit,
    donate_argnames="game",
    static_argnames=("config", "count", "device"),
)
def _run(
    config: Config,
    game: Game,
    data: Array | DevicePixels,
    key: Array,
    first: int,
    count: int,
    device: Any,
) -> tuple[Game, Metrics]:
    def iteration(game: Game, step: Array) -> tuple[Game, Metrics]:
        batch = sample_batch(config, data, random.fold_in(key, step))
        return game.step(split_inside(batch, device))

    result = lax.scan(iteration, game, first + jnp.arange(count))
    return copy_inside(result, device)
