"""Runs on several devices: those of this process, and of several processes.

``python -m parity_tests.devices TWIN JOBS OUT`` is one of the processes.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from experiment.config import Config
from experiment.data import load_available
from experiment.pixels import Data
from experiment.processes import ALONE, Place, find_place, free_port
from experiment.stream import Batch, DiscriminatorBatch, Stream
from parity_tests.compare import NO_GAP, Arrays, Gap, by_kind, gap
from parity_tests.small import small_data
from parity_tests.trajectory import config_from
from parity_tests.twin import Iteration, reverse

_WAIT_SECONDS = 1200
_HOST = "127.0.0.1"


@dataclass(frozen=True)
class Job:
    """A run to compare.

    Attributes:
        config: the experiment.
        steps: iterations.
        small: whether its data are those of the small game.
        fault: the name of one to inject, see ``faults.devices``.
    """

    config: Config
    steps: int
    small: bool = True
    fault: str = ""

    @property
    def data(self) -> Data:
        """The training set."""
        return small_data() if self.small else load_available(self.config)


class Reversed(Stream):
    """The stream with every minibatch in the opposite order."""

    def batch(self, step: int) -> Batch | DiscriminatorBatch:
        """What iteration ``step`` consumes, the last example first."""
        return reverse(Iteration(super().batch(step))).batch


def run_job(
    twin: ModuleType,
    job: Job,
    place: Place = ALONE,
    devices: int | None = None,
    stream: type[Stream] = Stream,
) -> Arrays:
    """Metrics of all iterations and the last state, on N devices."""
    config, data = job.config, job.data
    device = twin.spread(twin.select_device("cpu", config), place, devices)
    game = twin.create(config, data, device)
    if config.stream == "device":
        train = twin.device_stream(config, data, device)
        game, metrics = train(game, 0, job.steps)
    else:
        of_rows = stream(config, data, twin.rows(config.batch_size))
        batches = twin.place(of_rows.batches(0, job.steps), device)
        train = next(iter(twin.VARIANTS.values()))(game)
        game, metrics = train(game, batches)
    history = twin.fetch(metrics)
    state = twin.to_numpy(game)
    return state | {f"metrics/{name}": v for name, v in history.items()}


def gaps(ours: Arrays, theirs: Arrays) -> dict[str, Gap]:
    """The gaps of two runs by kind: metrics, weights, moments, statistics."""
    (ours, our_history), (theirs, history) = _parts(ours), _parts(theirs)
    return {"metrics": gap(our_history, history), **by_kind(ours, theirs)}


def largest(found: Mapping[str, Gap]) -> Gap:
    """The largest gap of all kinds."""
    return max(found.values(), default=NO_GAP)


def _parts(arrays: Arrays) -> tuple[Arrays, Arrays]:
    history = {k: v for k, v in arrays.items() if k.startswith("metrics/")}
    return {k: v for k, v in arrays.items() if k not in history}, history


def environment_of(
    name: str, rank: int, processes: int, port: int
) -> dict[str, str]:
    """What a launcher sets for a process of a twin."""
    if name == "jax_gan":
        variables = {
            "JAX_PROCESS_ID": str(rank),
            "JAX_NUM_PROCESSES": str(processes),
            "JAX_COORDINATOR_ADDRESS": f"{_HOST}:{port}",
        }
    else:
        variables = {
            "RANK": str(rank),
            "WORLD_SIZE": str(processes),
            "LOCAL_RANK": str(rank),
            "MASTER_ADDR": _HOST,
            "MASTER_PORT": str(port),
        }
    return {**os.environ, "OMP_NUM_THREADS": "1", **variables}


def start_group(
    name: str,
    processes: int,
    command: Sequence[str],
    **options: Any,
) -> list[subprocess.Popen]:
    """Starts a command of Python in as many connected processes."""
    port = free_port()
    return [
        subprocess.Popen(
            [sys.executable, *command],
            env=environment_of(name, rank, processes, port),
            **options,
        )
        for rank in range(processes)
    ]


def run_group(
    name: str, jobs: Iterable[Job], processes: int, devices: int, folder: Path
) -> list[Arrays]:
    """The jobs by several processes of a twin.

    Raises:
        AssertionError: a process failed; its stderr has been shown.
    """
    listed = list(jobs)
    file = folder / "jobs.json"
    file.write_text(json.dumps([asdict(job) for job in listed]))
    command = ["-m", "parity_tests.devices", name, str(devices)]
    group = start_group(
        name,
        processes,
        [*command, str(file), str(folder)],
        stdout=subprocess.DEVNULL,  # gloo prints whom it is connected to
    )
    try:
        statuses = [one.wait(_WAIT_SECONDS) for one in group]
    finally:
        for one in group:
            one.kill()
    if any(statuses):
        raise RuntimeError(f"the processes ended with statuses {statuses}")
    found = []
    for number in range(len(listed)):
        with np.load(folder / f"{number}.npz") as arrays:
            found.append(dict(arrays))
    return found


def main(name: str, devices: str, jobs: str, folder: str) -> None:
    """One process of ``run_group``; the first one writes the results."""
    twin = import_module(name)
    place = find_place(name, os.environ)
    twin.join(place, int(devices))
    for number, values in enumerate(json.loads(Path(jobs).read_text())):
        job = Job(**{**values, "config": config_from(values["config"])})
        injected: Any = nullcontext()
        if job.fault:
            from parity_tests.faults.devices import injected_fault

            injected = injected_fault(job.fault)
        with injected:
            arrays = run_job(twin, job, place, int(devices))
        if place.rank == 0:
            path = str(Path(folder) / f"{number}.npz")
            np.savez(path, allow_pickle=False, **arrays)
    twin.gather(np.zeros(1, np.uint8))  # none leaves before all are here


if __name__ == "__main__":
    main(*sys.argv[1:])
