"""Recording of the reference's trajectories, in the format of FORMAT.md."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

from numpy.typing import NDArray

from experiment.config import Config
from experiment.errors import InputError
from experiment.pixels import Data
from experiment.stream import Stream
from parity_tests.container import GAN, VERSIONS, write_recording
from parity_tests.conventions import CONVENTIONS
from parity_tests.recorder import Recorder
from parity_tests.side import Taken
from parity_tests.twin import (
    METRICS,
    PLAYERS,
    Iteration,
    flat_batch,
    nested_batch,
)
from parity_tests.twin_torch import TorchTwin

STATES_AT = (1, 2, 3, 10, 100)


class _Reference(TorchTwin):
    """PyTorch's game on batches as they are on disk."""

    def step(self, batch: Mapping[str, NDArray]) -> Taken:  # type: ignore[override]
        """One iteration."""
        return super().step(Iteration(nested_batch(batch)))


def record_recipe(
    config: Config,
    data: Data,
    steps: int,
    folder: Path,
    states_at: Iterable[int] = STATES_AT,
    lockstep: bool = False,
) -> None:
    """Runs the reference and writes its trajectory.

    Args:
        config: the experiment; its ``steps`` is not used.
        data: its training set, (n, *sample), in the config's precision.
        steps: iterations of Algorithm 1.
        folder: where to; it must not exist.
        states_at: iterations, from 1, after which state and gradients are
            written; the last iteration is always one of them.
        lockstep: a replay gives the port the recorded state at each of them.

    Raises:
        InputError: the folder exists or cannot be made, or ``steps``,
            ``states_at``, the data's type or ``compute`` is wrong.
    """
    if steps < 1 or steps > 999_999:
        raise InputError(f"steps is {steps}: it must be in [1, 999999]")
    if min(states_at, default=1) < 1:
        raise InputError(f"states-at has {min(states_at)}: iterations are >= 1")
    if data.dtype != config.dtype:
        raise InputError(
            f"data is {data.dtype}, the config {config.precision}: load it in "
            "that precision"
        )
    if config.compute != "full":
        raise InputError(
            f"compute is {config.compute}: its rounding has no bound to replay "
            "against; record with compute full"
        )
    recorder = Recorder(
        partial(_Reference, config, data),
        frozenset(states_at),
        lockstep,
        METRICS,
        PLAYERS,
        _path_on_disk,
    )
    stream = Stream(config, data)
    batches = (flat_batch(stream.batch(i)) for i in range(steps))
    write_recording(
        folder,
        recorder.run(batches, prefix=""),
        lambda: {
            "schema": GAN,
            "version": VERSIONS[GAN],
            "precision": config.precision,
            "config": {**asdict(config), "sample_shape": data.shape[1:]},
            **recorder.index(),
            "conventions": CONVENTIONS,
        },
    )


def _path_on_disk(path: str) -> str:
    """The layers of a list as Flax names them: ``hidden_0/kernel``."""
    return re.sub(r"/(\d+)/", r"_\1/", path)
