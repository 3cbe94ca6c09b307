"""Runs the validity checks of all variants, each in its own process."""

import os
import select
from collections.abc import Callable
from typing import Any

from benchmarks.plan import Plan, job_of
from benchmarks.processes import Worker, WorkerError
from benchmarks.variant_names import original, xla_flags
from benchmarks.worker import TimingJob
from experiment.errors import InputError

MOST_PROCESSES = 8  # they share the memory


def run_checks(
    plan: Plan,
    results: dict[str, Any],
    say: Callable[[str], None],
    start: Callable[[TimingJob], Worker],
) -> None:
    """Checks every variant; the results get those that are excluded.

    Some run concurrently: what they compare does not depend on time. An A/A
    duplicate has the outcome of its original.

    Raises:
        InputError: the device is not supported.
        WorkerError: a worker ended or hung.
    """
    originals = dict.fromkeys(map(original, plan.variants))
    jobs = [
        (name, job_of(plan, name, variant, check=True))
        for name in plan.workloads
        for variant in originals
    ]
    say(f"validity checks of {len(jobs)} variants")
    most = min(max(1, (os.cpu_count() or 1) // 2), MOST_PROCESSES)
    running: dict[Worker, str] = {}
    try:
        while jobs or running:
            while jobs and len(running) < most:
                name, job = jobs.pop(0)
                running[start(job)] = name
            answered = select.select(running, [], [], plan.patience)[0]
            for worker in answered or list(running)[:1]:
                answer = _outcome(worker, plan.patience)
                if reason := answer.get("unsupported"):
                    raise InputError(reason)
                name = running.pop(worker)
                worker.stop()
                if reason := answer["excluded"]:
                    say(f"  {worker.name} is excluded on {name}: {reason}")
                    results["workloads"][name]["refused"] |= {
                        variant: reason
                        for variant in plan.variants
                        if original(variant) == worker.name
                    }
                else:
                    say(f"  {worker.name} is valid on {name}")
    finally:
        for worker in running:
            worker.stop()


def _outcome(worker: Worker, patience: float) -> dict[str, Any]:
    """The answer of a check; XLA ends a process whose flags it lacks."""
    try:
        return worker.answer(patience)
    except WorkerError as error:
        if not xla_flags(worker.name):
            raise
        return {"excluded": f"{error}; perhaps this XLA lacks its flags"}
