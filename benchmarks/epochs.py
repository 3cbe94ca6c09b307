"""The paper's experiment over its epochs: the Parzen estimate as it trains.

``python -m benchmarks.epochs JSON`` trains recipe ``paper`` in one twin with
batches drawn on the device. Every few epochs it estimates the log-likelihood of
the test images, in processes that run next to the training. The best epoch is
chosen by the validation images, as the paper's sigma is.
"""

import json
import sys
import time
from collections.abc import Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.jobs import run_worker
from experiment import parzen
from experiment.data import load, load_splits
from experiment.errors import InputError
from experiment.files import replace_text
from experiment.machine import describe_machine
from experiment.pages import markdown_table
from experiment.recipes import recipe
from experiment.stream import fixed_noise

SCHEMA, VERSION = "gan-epochs", 1
PAPER = 225  # nats, of the paper's table 1
SAMPLES, CHOOSING = 10_000, 1_000  # as the authors
_PROCESSES = 4


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to train.

    Attributes:
        device: ``cpu`` or ``gpu``.
        epochs: of ``epoch_steps`` iterations.
        every: epochs between two estimates.
        epoch_steps: iterations of an epoch.
        samples: of G, for each estimate.
    """

    device: str
    epochs: int
    every: int
    epoch_steps: int
    samples: int = SAMPLES


@dataclass(frozen=True, kw_only=True)
class Job(Plan):
    """A plan for one twin.

    Attributes:
        twin: ``jax_gan`` or ``torch_ref``.
        seconds: no chunk of training starts after them.
        data_dir: of MNIST; the 5,000 embedded digits without it.
        out: the JSON file.
    """

    twin: str
    seconds: float
    data_dir: str | None
    out: str


def main(job: Job) -> None:
    """Trains until the epochs or the seconds are over."""
    begun = time.monotonic()
    data_dir = Path(job.data_dir) if job.data_dir else None
    config = recipe(
        "paper",
        data="mnist" if data_dir else "mnist5k",
        steps=job.epochs * job.epoch_steps,
        stream="device",
    )
    twin: Any = import_module(job.twin)
    device = twin.select_device(job.device, config)
    data, splits = load(config, data_dir), load_splits(data_dir)
    game = twin.create(config, data, device)
    run = twin.device_stream(config, data, device)
    z = fixed_noise(config, job.samples)
    choosing = splits.validation.images[:CHOOSING]
    results: dict[str, Any] = {
        "schema": SCHEMA,
        "version": VERSION,
        "machine": describe_machine(),
        "job": asdict(job) | {"data_dir": None, "out": None},
        "judged_by": splits.name,
        "complete": False,
        "rows": [],
    }
    estimates: dict[int, Future] = {}
    chunk = job.every * job.epoch_steps
    # Spawned: a forked process cannot use its parent's GPU.
    with ProcessPoolExecutor(_PROCESSES, get_context("spawn")) as pool:
        for epoch in range(job.every, job.epochs + 1, job.every):
            if time.monotonic() - begun > job.seconds:
                break
            first = (epoch - job.every) * job.epoch_steps
            game, metrics = run(game, first, chunk)
            if not np.isfinite(twin.fetch(metrics)["generator_loss"]).all():
                raise InputError(f"a loss of epoch {epoch} is not finite")
            samples = twin.sample_images(game, z)
            estimates[epoch] = pool.submit(
                parzen.estimate, samples, choosing, splits.test.images
            )
            print(f"{job.twin}: epoch {epoch:,}", file=sys.stderr, flush=True)
        results["complete"] = len(estimates) == job.epochs // job.every
        for epoch, estimate in estimates.items():
            row = {"epoch": epoch, **estimate.result()._asdict()}
            results["rows"].append(row)
            replace_text(Path(job.out), json.dumps(results, indent=1) + "\n")


def table(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """The log-likelihoods of both twins' runs, as Markdown.

    Args:
        runs: the contents of their files, by twin.
    """
    rows = []
    for twin, results in runs.items():
        best = max(results["rows"], key=lambda row: row["validation"])
        reached = [r["epoch"] for r in results["rows"] if r["mean"] >= PAPER]
        last = results["rows"][-1]
        rows.append(
            [
                twin,
                f"{last['epoch']:,}",
                f"{last['mean']:.0f} ± {last['standard_error']:.0f}",
                f"{best['epoch']:,}",
                f"{best['mean']:.0f} ± {best['standard_error']:.0f}",
                f"{reached[0]:,}" if reached else "not reached",
            ]
        )
    header = ["twin", "epochs", "Parzen at the end, nats"]
    header += ["best epoch by validation", "there", f"first at {PAPER}"]
    return markdown_table(header, rows)


if __name__ == "__main__":
    run_worker(main, Job)
