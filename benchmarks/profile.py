"""Where an iteration's time goes: operators of a CPU, or kernels of a GPU.

A fresh process profiles each variant of a workload. It times runs without a
tracer, because a tracer slows a run, and then traces as many of that length.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import Any

from benchmarks.plan import workload
from benchmarks.processes import Worker, WorkerError
from benchmarks.profile_report import describe_variant, page
from benchmarks.profile_worker import ProfileJob
from benchmarks.schema import read_json, write_json
from benchmarks.variant_names import parse, xla_flags
from experiment.errors import InputError
from experiment.files import replace_text
from experiment.machine import describe_machine

SCHEMA, VERSION = "gan-profile", 1
PATIENCE = 900.0  # seconds for a worker to compile and to be profiled
_WORKER = (sys.executable, "-m", "benchmarks.profile_worker")


@dataclass(frozen=True)
class Plan:
    """What to profile.

    Attributes:
        device: ``cpu`` or ``gpu``.
        workloads: recipes, or ``recipe:batch-size``.
        variants: see ``benchmarks.variant_names``.
        steps: iterations of a run.
    """

    device: str
    workloads: tuple[str, ...]
    variants: tuple[str, ...]
    steps: int

    def __post_init__(self):
        """Checks every value."""
        for name in self.workloads:
            workload(name)
        for name in self.variants:
            parse(name)
        if not 1 <= self.steps <= 1000:
            raise InputError(
                f"--steps is {self.steps}: it must be from 1 to 1000"
            )


def measure(
    plan: Plan, out: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Profiles, and writes the file and its page after every variant.

    Args:
        plan: what to profile.
        out: the JSON file; the page has its name with .md.
        say: takes a line of progress.

    Raises:
        InputError: the device is not supported, or every variant is excluded.

    Returns:
        The contents of the file; ``failed`` says how a worker ended, if one
        did.
    """
    results: dict[str, Any] = {
        "schema": SCHEMA,
        "version": VERSION,
        "machine": describe_machine(),
        "plan": asdict(plan),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "failed": None,
        "workloads": {},
    }
    for name in plan.workloads:
        recipe, batch_size = workload(name)
        profiles: dict[str, Any] = {
            "recipe": recipe,
            "batch_size": batch_size,
            "refused": {},
            "variants": {},
        }
        results["workloads"][name] = profiles
        for variant in plan.variants:
            say(f"{name}, {variant}")
            try:
                profiled = _profile(plan, name, variant)
            except WorkerError as error:
                results["failed"] = f"{name}: {error}"
                say(f"error: {results['failed']}; {_kept(results, out)}")
                _write(results, out)
                return results
            if reason := profiled.get("excluded"):
                profiles["refused"][variant] = reason
                say(f"  it is excluded: {reason}")
            else:
                profiles["variants"][variant] = profiled
                say(f"  {describe_variant(profiled, plan.steps)}")
            _write(results, out)
    if not _has_profiles(results):
        raise InputError(f"every variant is excluded: {out} is not written")
    return results


def _profile(plan: Plan, name: str, variant: str) -> dict[str, Any]:
    recipe, batch_size = workload(name)
    with tempfile.TemporaryDirectory() as dump:
        flags = os.environ.get("XLA_FLAGS", "")
        environment = {
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            # XLA dumps no program that it takes from the cache.
            "JAX_ENABLE_COMPILATION_CACHE": "false",
            "XLA_FLAGS": f"{flags} {xla_flags(variant)} --xla_dump_to={dump}",
            "KINETO_LOG_LEVEL": "6",  # else PyTorch's tracer logs
        }
        if plan.device == "cpu":
            environment |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
        job = ProfileJob(
            variant, recipe, batch_size, plan.steps, plan.device, dump
        )
        worker = Worker(
            variant, [*_WORKER, json.dumps(asdict(job))], **environment
        )
        try:
            answer = worker.answer(PATIENCE)
        finally:
            worker.stop()
    if reason := answer.get("unsupported"):
        raise InputError(reason)
    return answer


def _write(results: dict[str, Any], out: Path) -> None:
    if _has_profiles(results):  # else an earlier file would be lost
        write_json(out, results)
        replace_text(out.with_suffix(".md"), page(results))


def _has_profiles(results: Mapping[str, Any]) -> bool:
    return any(of["variants"] for of in results["workloads"].values())


def _kept(results: Mapping[str, Any], out: Path) -> str:
    if _has_profiles(results):
        return f"what was profiled before is kept in {out}"
    return "nothing was profiled before"


def load_profile(path: Path) -> dict[str, Any]:
    """The contents of a file of ``measure``, verified.

    Raises:
        InputError: the file is damaged, or of another schema or version.
    """
    return read_json(path, SCHEMA, VERSION, "profile", "profile again", _verify)


def _verify(results: Mapping[str, Any]) -> None:
    for of in results["workloads"].values():
        for variant, profile in of["variants"].items():
            parse(variant)
            _verify_times(profile)
    page(results)


def _verify_times(profile: Mapping[str, Any]) -> None:
    times = [
        *profile["seconds"],
        *profile["traced_seconds"],
        profile["busy_seconds"],
        *(of["microseconds"] for of in profile["operators"]),
    ]
    if not all(0 < time < inf for time in times):
        raise ValueError("a time")
