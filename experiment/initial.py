"""The initial weights of both twins, drawn once, in NumPy.

Every tensor has a random generator keyed by the seed and by the tensor's
framework-neutral name. So games of one seed start equal in JAX and in PyTorch,
and a tensor keeps its numbers when a layer is added or the precision changes.
"""

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from experiment.config import Config
from experiment.data import mean_logit
from experiment.pixels import Data

State = dict[str, NDArray]


def initial_state(
    config: Config, state: Mapping[str, NDArray], data: Data
) -> State:
    """A state with its initial weights and batch statistics.

    Args:
        config: the experiment: its seed, its rule and its scales.
        state: the arrays of a game under their framework-neutral names.
            Shapes and types are used, and the values of optimizer state.
        data: the training set, (n, *sample); its mean sets G's output bias
            where ``output_bias`` is ``mean``.

    Returns:
        The same names. Kernels are normal with standard deviation ``scale``,
        or uniform on +-``scale`` (``fan-in``: 1/sqrt(inputs), biases too);
        other biases are ``bias``. Batch normalisation starts as the identity.
    """
    initial = {name: array.copy() for name, array in state.items()}
    for name, array in initial.items():
        player, kind, *path = name.split("/")
        if kind == "optimizer":
            continue
        if path[-1] in ("scale", "var"):
            array[...] = 1
        elif kind == "statistics" or path[0].startswith("norm_"):
            array[...] = 0
        elif name == _OUTPUT_BIAS and config.output_bias == "mean":
            array[...] = mean_logit(data)
        elif path[-1] == "bias" and config.initializer != "fan-in":
            array[...] = config.bias
        else:
            kernel = state[name.removesuffix(path[-1]) + "kernel"]
            array[...] = _draw(config, player, name, array.shape, kernel)
    return initial


_OUTPUT_BIAS = "generator/params/output/bias"


def _draw(
    config: Config,
    player: str,
    name: str,
    shape: tuple[int, ...],
    kernel: NDArray,
) -> NDArray[np.float64]:
    """The numbers of one tensor, in float64 for every precision."""
    rng = _generator(config.seed, name)
    generator = player == "generator"
    scale = config.generator_scale if generator else config.discriminator_scale
    if config.initializer == "normal":
        return scale * rng.standard_normal(shape)
    if config.initializer == "fan-in":
        # G's convolutions are transposed: [height, width, out, in].
        transposed = generator and kernel.ndim == 4
        features = kernel.shape[2 if transposed else -1]
        scale = (kernel.size // features) ** -0.5
    return rng.uniform(-scale, scale, shape)


def _generator(seed: int, name: str) -> np.random.Generator:
    digest = hashlib.sha256(name.encode()).digest()
    key = np.array([seed, int.from_bytes(digest[:8], "little")], np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def moved_by_one_ulp(state: Mapping[str, NDArray], seed: int) -> State:
    """The state with every weight one ulp up or down, at random.

    Raises:
        ValueError: no name is that of a weight, so that nothing would move.

    Example:
        >>> w = {"d/params/w": np.ones(1)}
        >>> float(np.abs(moved_by_one_ulp(w, 0)["d/params/w"] - 1)[0]) < 3e-16
        True
    """
    rng = np.random.default_rng(seed)
    moved = {name: array.copy() for name, array in state.items()}
    if not any("/params/" in name for name in moved):
        raise ValueError(f"no weight is named /params/ in {sorted(moved)}")
    for name, array in moved.items():
        if "/params/" in name:
            up = rng.random(array.shape) < 0.5
            moved[name] = np.where(
                up, np.nextafter(array, np.inf), np.nextafter(array, -np.inf)
            ).astype(array.dtype)
    return moved
