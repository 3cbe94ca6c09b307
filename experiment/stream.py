"""The shared stream: all randomness of training, as a function of the step.

Everything random in a run (the minibatch x, the noise z, the dropout
masks) is drawn here, before the step, with a counter-based generator keyed by
(seed, step). So the steps themselves are deterministic, both twins see the
same numbers, and a resumed run is bit-identical to one that never stopped.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiment.config import Config
from experiment.pixels import Data


class DiscriminatorBatch(NamedTuple):
    """What one discriminator step consumes, or one simultaneous step.

    Attributes:
        x: minibatch of real data, (m, *sample).
        z: minibatch of noise, (m, noise_size).
        real_masks: dropout masks of D for x, by the name of what they mask
            (``input``, ``hidden_0``...), each (m, units), scaled by 1/keep.
        fake_masks: the same for G(z).
    """

    x: Any
    z: Any
    real_masks: dict[str, Any]
    fake_masks: dict[str, Any]


class GeneratorBatch(NamedTuple):
    """What one generator step consumes: z (m, noise_size), D's masks."""

    z: Any
    masks: dict[str, Any]


class Batch(NamedTuple):
    """What one iteration of Algorithm 1 consumes.

    Attributes:
        discriminator: k discriminator batches, stacked on a leading axis.
        generator: the batch of the generator step.
    """

    discriminator: DiscriminatorBatch
    generator: GeneratorBatch


def mask_units(
    config: Config, sample_size: int
) -> dict[str, tuple[int, float]]:
    """Units and keep probability of each of D's dropout masks, by name.

    Example:
        >>> mask_units(Config(keep_hidden=0.5), 784)
        {'hidden_0': (240, 0.5), 'hidden_1': (240, 0.5)}
    """
    layers = {"input": (sample_size, config.keep_input)}
    for i, units in enumerate(config.discriminator_hidden):
        layers[f"hidden_{i}"] = (units, config.keep_hidden)
    return {name: layer for name, layer in layers.items() if layer[1] < 1}


@dataclass(frozen=True)
class Stream:
    """Batches of ``data`` for ``config``, a pure function of the step.

    Of several processes each makes its ``rows`` of the same minibatches. Only
    theirs are read from the data. The numbers of the others are drawn all the
    same: where a row's begin depends on those before it.
    """

    config: Config
    data: Data
    rows: slice = field(default_factory=lambda: slice(None))

    def batch(self, step: int) -> Batch | DiscriminatorBatch:
        """What iteration ``step`` (from 0) consumes.

        Simultaneous players share one fake batch: a discriminator batch.
        """
        config, rng = self.config, _generator(self.config, step)
        k, m = config.k, config.batch_size
        if config.updates == "simultaneous":
            return self._discriminator_batch(rng, (m,))
        return Batch(
            self._discriminator_batch(rng, (k, m)),
            GeneratorBatch(self._noise(rng, (m,)), self._masks(rng, (m,))),
        )

    def _discriminator_batch(
        self, rng: np.random.Generator, shape: tuple[int, ...]
    ) -> DiscriminatorBatch:
        chosen = rng.integers(len(self.data), size=shape)
        return DiscriminatorBatch(
            x=self.data[chosen[..., self.rows]],
            z=self._noise(rng, shape),
            real_masks=self._masks(rng, shape),
            fake_masks=self._masks(rng, shape),
        )

    def batches(self, first: int, count: int) -> Any:
        """``count`` iterations from ``first``, stacked on a leading axis."""
        return stack([self.batch(first + i) for i in range(count)])

    def _noise(
        self, rng: np.random.Generator, shape: tuple[int, ...]
    ) -> NDArray[np.floating]:
        return _noise(self.config, rng, shape)[..., self.rows, :]

    def _masks(
        self, rng: np.random.Generator, shape: tuple[int, ...]
    ) -> dict[str, NDArray[np.floating]]:
        layers = mask_units(self.config, self.data[0].size)
        return {
            name: np.where(
                rng.random((*shape, units), np.float32)[..., self.rows, :]
                < keep,
                1 / keep,
                0,
            ).astype(self.config.dtype)
            for name, (units, keep) in layers.items()
        }


def fixed_noise(config: Config, n: int) -> NDArray[np.floating]:
    """The z of all sample images of a run, (n, noise_size): its first n."""
    return _noise(config, _generator(config, 2**64 - 1), (n,))


def _generator(config: Config, step: int) -> np.random.Generator:
    key = np.array([config.seed, step], np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def _noise(
    config: Config, rng: np.random.Generator, shape: tuple[int, ...]
) -> NDArray[np.floating]:
    shape = (*shape, config.noise_size)
    if config.noise == "normal":
        z = rng.standard_normal(shape)
    else:
        z = rng.uniform(-1, 1, shape)
    return (config.noise_scale * z).astype(config.dtype)


def map_arrays(function: Callable, *trees: Any) -> Any:
    """Applies a function to the arrays of batches (named tuples and dicts).

    Example:
        >>> map_arrays(len, GeneratorBatch([1, 2], {"input": [3]}))
        GeneratorBatch(z=2, masks={'input': 1})
    """
    first = trees[0]
    if isinstance(first, dict):
        return {
            key: map_arrays(function, *(tree[key] for tree in trees))
            for key in first
        }
    if isinstance(first, tuple):
        leaves = zip(*trees, strict=True)
        return type(first)(*(map_arrays(function, *leaf) for leaf in leaves))
    return function(*trees)


def stack(batches: list[Any]) -> Any:
    """Batches of equal shape, stacked on a new leading axis."""
    return map_arrays(lambda *arrays: np.stack(arrays), *batches)


def length(stacked: Any) -> int:
    """Length of the leading axis of stacked batches.

    Example:
        >>> length(GeneratorBatch([1, 2], {}))
        2
    """
    first = stacked
    while isinstance(first, tuple):
        first = first[0]
    return len(first)


def slices(stacked: Any) -> Iterator[Any]:
    """Iterates over the leading axis of stacked batches.

    Example:
        >>> list(slices(GeneratorBatch([1, 2], {"input": [3, 4]})))[1]
        GeneratorBatch(z=2, masks={'input': 4})
    """
    for i in range(length(stacked)):
        yield map_arrays(lambda array, i=i: array[i], stacked)
