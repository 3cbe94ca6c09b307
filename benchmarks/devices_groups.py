"""Processes that train on a core each, alone or several of them one game."""

import json
import os
import sys
from dataclasses import asdict
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.devices_worker import DeviceJob
from benchmarks.plan import CALLS, workload
from benchmarks.processes import Worker
from experiment.errors import InputError
from experiment.processes import free_port

TWINS = ("jax", "torch")
_PATIENCE = 900.0  # seconds for a process to compile, or for a block
_WORKER = (sys.executable, "-m", "benchmarks.devices_worker")


class Arrangement(NamedTuple):
    """Who trains what.

    Attributes:
        processes: each on a core.
        connected: whether they train one game; else each has its own.
        factor: of the batch size of a game.
    """

    processes: int
    connected: bool
    factor: int


ARRANGEMENTS = {
    "one": Arrangement(1, False, 1),
    "strong": Arrangement(2, True, 1),
    "weak": Arrangement(2, True, 2),
    "apart": Arrangement(2, False, 1),
}


def available_cores() -> list[int]:
    """Two cores that processes can be bound to."""
    most = max(of.processes for of in ARRANGEMENTS.values())
    if not hasattr(os, "sched_setaffinity"):
        raise InputError(
            "devices binds each process to a core, which this system cannot: "
            "run it on Linux"
        )
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < most:
        raise InputError(
            f"devices needs {most} cores, and this process may use "
            f"{len(cores)}: run it on a machine with more"
        )
    return cores[:most]


class Group:
    """The processes of an arrangement; in each one, the same calls."""

    def __init__(self, workers: list[Worker], iterations: int):
        self._workers, self._iterations, self._calls = workers, iterations, 1

    def answers(self) -> list[dict[str, Any]]:
        """What each process answers next."""
        return [worker.answer(_PATIENCE) for worker in self._workers]

    def warm(self, block_seconds: float) -> None:
        """Sets the calls of a block, twice: the first calls are slow."""
        for _ in range(2):
            seconds = self._call()
            self._calls = max(1, ceil(block_seconds / seconds * self._calls))

    def iteration(self) -> float:
        """Seconds of an iteration, in a block."""
        return self._call() / (self._calls * self._iterations)

    def _call(self) -> float:
        for worker in self._workers:
            worker.ask(str(self._calls))
        return max(answer["seconds"] for answer in self.answers())

    def stop(self) -> None:
        """Kills the processes."""
        for worker in reversed(self._workers):  # the coordinator last
            worker.stop()


class Starter:
    """Starts groups, each process on its core; programs are cached."""

    def __init__(self, cores: list[int], cache: Path):
        self._cores, self._cache = cores, cache

    def __call__(
        self, twin: str, name: str, arrangement: str, counts: bool = False
    ) -> Group:
        """The processes of an arrangement, which get ready or count.

        Args:
            twin: ``jax`` or ``torch``.
            name: of the workload.
            arrangement: its name.
            counts: whether they count all-reduces, and end.
        """
        recipe, size = workload(name)
        of, port = ARRANGEMENTS[arrangement], free_port()
        calls = max(1, CALLS[recipe] // 5)  # one core takes longer
        workers = []
        for rank, core in enumerate(self._cores[: of.processes]):
            job = DeviceJob(
                twin,
                recipe,
                size * of.factor,
                calls,
                rank if of.connected else 0,
                of.processes if of.connected else 1,
                port,
                core,
                counts,
            )
            programs = f"{name}-{arrangement}-{rank}".replace(":", "-")
            workers.append(
                Worker(
                    f"{twin} {arrangement}",
                    [*_WORKER, json.dumps(asdict(job))],
                    CUDA_VISIBLE_DEVICES="",
                    JAX_PLATFORMS="cpu",
                    OMP_NUM_THREADS="1",
                    JAX_COMPILATION_CACHE_DIR=str(self._cache / programs),
                    JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
                )
            )
        return Group(workers, calls)
