"""Training of either twin, some iterations at a time."""

import time
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiment.config import Config
from experiment.errors import InputError
from experiment.pixels import Data
from experiment.stream import Stream, fixed_noise
from experiment.watch import spread

# Iterations between two readings of the clock and of the metrics.
CHUNK = 50
_SAMPLES = 64  # whose spread is measured


class DivergedError(InputError):
    """A run whose numbers are not finite any more.

    Attributes:
        iteration: the first that shows it.
    """

    def __init__(self, what: str, iteration: int):
        super().__init__(
            f"{what} is not finite in iteration {iteration}: the run diverged"
        )
        self.iteration = iteration


class Chunk(NamedTuple):
    """Some iterations of a run.

    Attributes:
        game: after them.
        history: columns of ``metrics.jsonl``, one value an iteration, with
            ``sample_spread`` at the last one and nan at the others.
        seconds: that they took, without the samples.
    """

    game: Any
    history: dict[str, NDArray]
    seconds: float


def iterate(
    twin: ModuleType,
    config: Config,
    data: Data,
    device: Any,
    game: Any,
    step: int,
    train: Callable | None = None,
) -> Iterator[Chunk]:
    """Trains ``game`` from iteration ``step`` on, a chunk at a time.

    Chunks end at multiples of ``sample_every``, and are ``CHUNK`` iterations
    at most.

    Raises:
        DivergedError: a loss, or a sample, is not finite any more.
    """
    advance = advance_by(twin, config, data, device, train)
    z = fixed_noise(config, _SAMPLES)
    while step < config.steps:
        due = (step // config.sample_every + 1) * config.sample_every
        count = min(step + CHUNK, due, config.steps) - step
        start = time.perf_counter()
        game, metrics = advance(game, step, count)
        history = twin.fetch(metrics)
        seconds = time.perf_counter() - start
        _require_finite_columns(history, step)
        step += count
        spreads = np.full(count, np.nan)
        spreads[-1] = spread(twin.sample_images(game, z))
        # The losses are of the weights before the last step.
        require_finite({"the spread of samples": spreads[-1:]}, step)
        history["sample_spread"] = spreads
        history["step"] = np.arange(step - count, step) + 1
        yield Chunk(game, history, seconds)


def advance_by(
    twin: ModuleType,
    config: Config,
    data: Data,
    device: Any,
    train: Callable | None,
) -> Callable[[Any, int, int], tuple[Any, Any]]:
    """Training on from iteration ``first``, by the config's stream."""
    if config.stream == "device":
        return twin.device_stream(config, data, device)
    stream = Stream(config, data, twin.rows(config.batch_size))
    train = train or twin.train
    return lambda game, first, count: train(
        game, twin.place(stream.batches(first, count), device)
    )


def require_finite(arrays: Mapping[str, NDArray], iteration: int) -> None:
    """Checks the state of a game after an iteration.

    Raises:
        DivergedError: a number of it is not finite.
    """
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise DivergedError(name, iteration)


def _require_finite_columns(history: Mapping[str, NDArray], step: int) -> None:
    """Checks columns of the iterations from ``step`` + 1 on."""
    for name, values in history.items():
        failed = np.flatnonzero(~np.isfinite(values))
        if failed.size:
            raise DivergedError(name, step + 1 + int(failed[0]))
