"""A process that trains on one core, ``python -m benchmarks.devices_worker``.

Alone, or as one of several that train one game. It counts the all-reduces of
an iteration, answers them and ends. Or it answers that it is ready, and at
every line on stdin, a number of calls, the seconds that they took.
"""

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from numpy.typing import NDArray

from benchmarks.jobs import open_answers, run_worker
from benchmarks.reductions import bytes_of_xla, of_processes
from experiment.data import load_available
from experiment.processes import Place
from experiment.recipes import recipe
from experiment.stream import Stream


@dataclass(frozen=True)
class DeviceJob:
    """What one process does.

    Attributes:
        twin: ``jax`` or ``torch``.
        recipe: the workload.
        batch_size: of all processes that train one game.
        iterations: in one call of ``train``.
        rank: of this process among them.
        processes: how many they are.
        port: of this machine, where they find each other.
        core: to which the process is bound.
        counts: whether to count all-reduces, and end.
    """

    twin: str
    recipe: str
    batch_size: int
    iterations: int
    rank: int
    processes: int
    port: int
    core: int
    counts: bool


def main(job: DeviceJob) -> None:
    """Counts, or serves blocks until stdin ends."""
    _keep_stdout()
    answer = open_answers()
    # Before a framework starts as many threads as there are cores.
    os.sched_setaffinity(0, {job.core})
    side = import_module(f"benchmarks.{job.twin}_side")
    game, batches, train = _ready(job, side.twin)
    if job.counts:
        formula = _by_formula(job, side.twin.to_numpy(game))
        counted = side.count_reductions(train, game, batches)._asdict()
        answer(formula=formula, counted=counted)
        return
    game, metrics = train(game, batches)  # compiles
    side.synchronise((game, metrics))
    answer()
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            game, metrics = train(game, batches)
        side.synchronise((game, metrics))
        answer(seconds=time.perf_counter() - start)


def _by_formula(
    job: DeviceJob, state: Mapping[str, NDArray]
) -> dict[str, int | None]:
    """All-reduces of an iteration; their number is XLA's own choice."""
    config = recipe(job.recipe)
    if job.twin == "jax":
        return {"number": None, "bytes": bytes_of_xla(config, state)}
    return of_processes(config, state)._asdict()


def _keep_stdout() -> None:
    """Leaves stdout to this process: gloo would print a line on it."""
    sys.stdout = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _ready(job: DeviceJob, twin: Any) -> tuple[Any, Any, Any]:
    """Game, batches and the twin's default variant of ``train``."""
    place = Place(job.rank, job.processes, None, f"127.0.0.1:{job.port}")
    twin.join(place)
    config = recipe(job.recipe, batch_size=job.batch_size)
    device = twin.spread(twin.select_device("cpu", config), place)
    data = load_available(config)  # other images take the same time
    stream = Stream(config, data, twin.rows(config.batch_size))
    batches = twin.place(stream.batches(0, job.iterations), device)
    game = twin.create(config, data, device)
    return game, batches, next(iter(twin.VARIANTS.values()))(game)


if __name__ == "__main__":
    run_worker(main, DeviceJob)
