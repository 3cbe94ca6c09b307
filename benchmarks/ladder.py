"""The ladder: every variant of both twins timed in turns, and kept as JSON.

First every variant must pass its validity checks. Then the processes of all
variants are repeated as often as the plan says, because the process is what
varies (see ``benchmarks.statistics``).
"""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.check_runner import run_checks
from benchmarks.plan import Plan, workload
from benchmarks.processes import Worker, WorkerError, starter
from benchmarks.repetition import measure_repetition
from benchmarks.results import SCHEMA, VERSION
from benchmarks.schema import write_json
from benchmarks.worker import TimingJob
from experiment.errors import InputError
from experiment.machine import describe_machine

Say = Callable[[str], None]
Start = Callable[[TimingJob], Worker]


def measure(
    plan: Plan,
    out: Path | None,
    say: Say,
    start: Start | None = None,
    earlier: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Measures, and writes after every round; returns what was measured.

    Args:
        plan: what to measure.
        out: the JSON file; None to write nothing.
        say: takes a line of progress.
        start: starts the worker of a job; a process if not given.
        earlier: results of the same plan on this machine, to which the
            repetitions are added.

    Raises:
        InputError: the device is not supported, every variant is excluded, or
            the time was over before a block was timed.

    Returns:
        The contents of the file. ``failed`` says which worker ended or hung,
        if one did; the rest is what was measured before.
    """
    results = earlier or blank(plan)
    results |= {"complete": False, "failed": None}
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as cache:
        start = start or starter(plan.device, Path(cache))
        try:
            if not earlier:  # whose variants have passed
                run_checks(plan, results, say, start)
            over = _repeat(plan, results, begun, out, say, start)
            _require_blocks(plan, results, over)
            results["complete"] = not over
        except WorkerError as error:
            results["failed"] = str(error)
            say(f"error: {error}; {_kept(results, out)}")
        except KeyboardInterrupt:
            say(f"stopped; {_kept(results, out)}")
            raise
        finally:
            if _has_blocks(results):  # else an earlier file would be lost
                _write(results, out)
    return results


def blank(plan: Plan) -> dict[str, Any]:
    """The results of a plan before its first repetition."""
    workloads = {}
    for name in plan.workloads:
        kind, size = workload(name)
        workloads[name] = {
            "recipe": kind,
            "batch_size": size,
            "refused": {},
            "sets": [],
        }
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "machine": describe_machine(),
        "plan": plan.contents(),
        "workloads": workloads,
    }


def _repeat(plan, results, begun, out, say, start) -> bool:
    """The repetitions that the time allows; whether it was over before all."""
    together = plan.jobs > 1
    groups = [plan.workloads] if together else [(w,) for w in plan.workloads]
    save = partial(_write, results, out)
    longest = 0.0
    for number in range(1, plan.repetitions + 1):
        for names in groups:
            which = f"repetition {number} of {plan.repetitions}"
            which += f", {', '.join(names)}"
            spent = time.monotonic() - begun
            if plan.minutes and spent + longest > 60 * plan.minutes:
                say(f"stopped before {which}: time")
                return True
            say(which)
            measure_repetition(plan, results, names, save, say, start)
            longest = max(longest, time.monotonic() - begun - spent)
    return False


def _write(results: dict[str, Any], out: Path | None) -> None:
    if out is not None:
        write_json(out, results)


def _kept(results: dict[str, Any], out: Path | None) -> str:
    if not _has_blocks(results):
        return "nothing was timed before"
    if out is None:
        return "nothing is kept without --out"
    return f"what was timed before is kept in {out}"


def _require_blocks(plan: Plan, results: dict[str, Any], over: bool) -> None:
    if _has_blocks(results):
        return
    if over:
        raise InputError(
            f"--budget {plan.minutes}: its time was over before a block was "
            "timed; give more minutes, or fewer workloads or variants"
        )
    raise InputError(
        "every variant is excluded, for the reasons above: nothing is written"
    )


def _has_blocks(results: dict[str, Any]) -> bool:
    return any(
        values["seconds"]
        for workload in results["workloads"].values()
        for repetition in workload["sets"]
        for values in repetition["variants"].values()
    )
