"""The table of devices: every recipe on several devices, against one.

``python -m parity_tests devices`` measures it: every recipe, with both of the
paper's losses and k = 1 and 2, in float64. Each game runs on one device of
each twin, and on several in every arrangement. The bound is 1e-12, or three
times the control: how far the permuted minibatch drives one device from itself.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import jax
import torch

import jax_gan
import torch_ref
from experiment.errors import InputError
from experiment.files import replace_text
from experiment.machine import describe_machine
from experiment.processes import ALONE
from experiment.recipes import RECIPES, recipe
from parity_tests.compare import Arrays, Gap
from parity_tests.devices import (
    Job,
    Reversed,
    gaps,
    largest,
    run_group,
    run_job,
)
from parity_tests.faults.base import DCGAN
from parity_tests.faults.devices import FAULTS
from parity_tests.small import small_config

SCHEMA, VERSION = "gan-devices", 1
FILE = "devices.json"
TOLERANCE, CONTROLS = 1e-12, 3
MARGIN = 1000  # at which a fault must be detected, times the bound

STEPS = 50
BATCH = 8
LOSSES, K = ("saturating", "non-saturating"), (1, 2)
# Minibatches of 8 magnify rounding at the shipped rates of digits, and initial
# weights of .02 do in dcgan64, whose channels are fewer to save time.
CHANGES: dict[str, dict[str, Any]] = {
    "digits": {"learning_rate": 1e-4, "generator_learning_rate": 2e-4},
    "dcgan64": {
        "generator_hidden": (16, 8, 8, 4),
        "discriminator_hidden": (4, 8, 8, 16),
        "generator_scale": 0.05,
        "discriminator_scale": 0.05,
    },
}

# Games of a few units, for what need not have every recipe.
FEW_STEPS = 5
ONE_LAYER = {"generator_hidden": (8,), "discriminator_hidden": (8,)}
SMALL = {
    "lecture": Job(small_config(keep_input=0.8, **ONE_LAYER), FEW_STEPS),
    "mlp": Job(small_config(k=2, keep_input=0.8), FEW_STEPS),
    "dcgan": Job(small_config(**DCGAN), FEW_STEPS),
}
# Each fault in the small game that shows it.
FAULTY = [
    replace(
        SMALL["dcgan" if "normal" in name or "running" in name else "mlp"],
        fault=name,
    )
    for name in FAULTS
]


class Arrangement(NamedTuple):
    """Who drives the devices.

    Attributes:
        twin: the package.
        processes: 1 drives virtual devices.
        devices: of all processes.
    """

    twin: Any
    processes: int
    devices: int


ARRANGEMENTS = {
    "JAX, 2 devices": Arrangement(jax_gan, 1, 2),
    "JAX, 4 devices": Arrangement(jax_gan, 1, 4),
    "JAX, 2 processes of 2 devices": Arrangement(jax_gan, 2, 4),
    "PyTorch, 2 processes": Arrangement(torch_ref, 2, 2),
    "PyTorch, 4 processes": Arrangement(torch_ref, 4, 4),
}
_OTHER = {jax_gan: torch_ref, torch_ref: jax_gan}


def jobs_of(name: str) -> list[Job]:
    """A recipe with every loss and k; simultaneous players have one of each."""
    of = RECIPES[name]
    cases = list(product(LOSSES, K))
    if of.updates == "simultaneous":
        cases = [(of.loss, of.k)]
    changes = {"batch_size": BATCH, "precision": "float64"}
    changes |= CHANGES.get(name, {})
    return [
        Job(recipe(name, loss=loss, k=k, **changes), STEPS, small=False)
        for loss, k in cases
    ]


def measure_recipe(name: str, folder: Path) -> list[dict[str, Any]]:
    """A row of results for each of the recipe's jobs.

    Args:
        name: of the recipe.
        folder: for what the processes write.
    """
    jobs = jobs_of(name)
    # Processes of several take turns in a thread, while this one computes.
    with ThreadPoolExecutor(1) as thread:
        groups = {
            arrangement: thread.submit(_run_group, jobs, of, folder / str(i))
            for i, (arrangement, of) in enumerate(ARRANGEMENTS.items())
            if of.processes > 1
        }
        rows = [_measure_here(job) for job in jobs]
    for arrangement, group in groups.items():
        for (row, alone), found in zip(rows, group.result(), strict=True):
            row["gaps"][arrangement] = _against(arrangement, found, alone)
    return [row for row, _ in rows]


def _run_group(jobs: list[Job], of: Arrangement, folder: Path) -> list[Arrays]:
    folder.mkdir()
    return run_group(of.twin.__name__, jobs, of.processes, of.devices, folder)


def _measure_here(job: Job) -> tuple[dict[str, Any], dict[Any, Arrays]]:
    """The row of what one process can run, and each twin's one device."""
    alone = {twin: run_job(twin, job) for twin in _OTHER}
    permuted = run_job(torch_ref, job, stream=Reversed)
    control = _errors(gaps(permuted, alone[torch_ref]))
    row: dict[str, Any] = {
        "recipe": job.config.recipe,
        "loss": job.config.loss,
        "k": job.config.k,
        "control": control,
        "bound": max(TOLERANCE, CONTROLS * max(control.values())),
        "gaps": {},
    }
    for arrangement, of in ARRANGEMENTS.items():
        if of.processes == 1:
            found = run_job(of.twin, job, ALONE, of.devices)
            row["gaps"][arrangement] = _against(arrangement, found, alone)
    jax.clear_caches()  # of programs that no other job has
    return row, alone


def _against(
    arrangement: str, found: Arrays, alone: Mapping[Any, Arrays]
) -> dict[str, dict[str, float]]:
    twin = ARRANGEMENTS[arrangement].twin
    return {
        "same": _errors(gaps(found, alone[twin])),
        "across": _errors(gaps(found, alone[_OTHER[twin]])),
    }


def _errors(found: Mapping[str, Gap]) -> dict[str, float]:
    return {kind: one.error for kind, one in found.items()}


def measure_faults(folder: Path) -> dict[str, float]:
    """How far each fault drives two processes of PyTorch from one device."""
    found = run_group("torch_ref", FAULTY, 2, 2, folder)
    alone = partial(run_job, torch_ref)
    return {
        job.fault: largest(gaps(arrays, alone(replace(job, fault="")))).error
        for job, arrays in zip(FAULTY, found, strict=True)
    }


def measure(
    names: Collection[str], folder: Path, say: Callable[[str], None]
) -> bool:
    """Measures the table, and writes the file after every recipe.

    Args:
        names: of the recipes; rows of others stay in the file.
        folder: where the file goes.
        say: takes a line of progress.

    Raises:
        InputError: there is such a file, and it is damaged.

    Returns:
        Whether all is within its bound, and every fault detected.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jax_gan.join(ALONE, max(of.devices for of in ARRANGEMENTS.values()))
    torch.set_num_threads(1)  # several processes share the cores
    results: dict[str, Any] = {
        "schema": SCHEMA,
        "version": VERSION,
        "machine": describe_machine(),
        "steps": STEPS,
        "batch_size": BATCH,
    }
    rows = _rows_of_others(folder / FILE, results, names)
    with TemporaryDirectory() as scratch:
        say("injected faults")
        (Path(scratch) / "faults").mkdir()
        results["faults"] = measure_faults(Path(scratch) / "faults")
        for name in names:
            say(name)
            (Path(scratch) / name).mkdir()
            rows += measure_recipe(name, Path(scratch) / name)
            rows.sort(key=lambda row: list(RECIPES).index(row["recipe"]))
            text = json.dumps({**results, "rows": rows}, indent=1) + "\n"
            replace_text(folder / FILE, text)
    return all(map(is_within, rows)) and all(
        error >= MARGIN * TOLERANCE for error in results["faults"].values()
    )


def _rows_of_others(
    path: Path, results: Mapping[str, Any], names: Collection[str]
) -> list[dict[str, Any]]:
    """What an earlier file has of other recipes, measured in the same way."""
    try:
        earlier = json.loads(path.read_text()) if path.exists() else {}
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): remove it") from error
    if any(earlier.get(key) != value for key, value in results.items()):
        return []
    return [row for row in earlier["rows"] if row["recipe"] not in names]


def is_within(row: Mapping[str, Any]) -> bool:
    """Whether every arrangement of a job keeps its bound."""
    return _worst(row["gaps"].values()) <= row["bound"]


def _worst(found: Iterable[Mapping[str, Mapping[str, float]]]) -> float:
    """The largest error of arrangements, of one twin and across."""
    return max(
        error
        for gaps in found
        for kinds in gaps.values()
        for error in kinds.values()
    )
