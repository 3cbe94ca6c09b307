"""The ladder: every variant of both twins timed in turns, and kept as JSON.

First every variant passes its gates, in a process of its own. Then a set
starts a fresh process for each variant of a workload. They get ready one by
one, stay alive and are asked for a block each, in a new random order every
round, so that whatever else the machine does falls on all. Every block is kept.
"""

import json
import os
import random
import select
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.plan import Plan, job_of, workload
from benchmarks.processes import Worker, WorkerError, starter
from benchmarks.results import SCHEMA, VERSION
from benchmarks.variants import xla_flags
from benchmarks.worker import Job
from experiment.config import InputError
from experiment.files import replace_text
from experiment.machine import describe_machine

MOST_GATES = 8  # at once: they share the memory
Say = Callable[[str], None]
Start = Callable[[Job], Worker]


def measure(
    plan: Plan,
    out: Path | None,
    say: Say,
    start: Start | None = None,
    earlier: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Measures, and writes after every round; returns what was measured.

    Args:
        plan: what.
        out: the JSON file; None to write nothing.
        say: told of the progress.
        start: starts the worker of a job; a process if not given.
        earlier: results of the same plan on this machine, that get more sets.

    Raises:
        InputError: the device is not there, every variant is refused, or the
            time was over before a block was timed.

    Returns:
        The contents of the file. ``failed`` says which worker ended or hung,
        if one did; the others are of what was measured before.
    """
    results = earlier or blank(plan)
    results |= {"complete": False, "failed": None}
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as cache:
        start = start or starter(plan.device, Path(cache))
        try:
            if not earlier:  # whose variants have passed
                _pass_gates(plan, results, say, start)
            over = _measure_sets(plan, results, begun, out, say, start)
            if not _has_blocks(results):
                if over:
                    raise InputError(
                        f"--budget {plan.minutes}: its time was over before a "
                        "block was timed; give more minutes, or fewer "
                        "workloads or variants"
                    )
                raise InputError(
                    "every variant is refused, for the reasons above: nothing "
                    "is written"
                )
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
    """The results of a plan before its first set."""
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
        "plan": asdict(plan),
        "workloads": workloads,
    }


def _measure_sets(plan, results, begun, out, say, start) -> bool:
    """All sets that the time allows; whether it was over before the last."""
    together = plan.at_once > 1
    parts = [plan.workloads] if together else [(w,) for w in plan.workloads]
    longest = 0.0
    for number in range(1, plan.sets + 1):
        for names in parts:
            shown = f"set {number} of {plan.sets}, {', '.join(names)}"
            spent = time.monotonic() - begun
            if plan.minutes and spent + longest > 60 * plan.minutes:
                say(f"stopped before {shown}: time")
                return True
            say(shown)
            _measure_set(plan, results, names, out, say, start)
            longest = max(longest, time.monotonic() - begun - spent)
    return False


def _write(results: dict[str, Any], out: Path | None) -> None:
    if out is not None:
        replace_text(out, json.dumps(results, indent=1) + "\n")


def _kept(results: dict[str, Any], out: Path | None) -> str:
    if not _has_blocks(results):
        return "nothing was timed before"
    if out is None:
        return "nothing is kept without --out"
    return f"what was timed before is kept in {out}"


def _has_blocks(results: dict[str, Any]) -> bool:
    return any(
        values["seconds"]
        for workload in results["workloads"].values()
        for one in workload["sets"]
        for values in one["variants"].values()
    )


def _pass_gates(plan, results, say, start) -> None:
    """Some at once: what they compare does not depend on time."""
    # What is entered again has passed already.
    forms = dict.fromkeys(v.removesuffix(" again") for v in plan.variants)
    jobs = [
        (name, job_of(plan, name, form, check=True))
        for name in plan.workloads
        for form in forms
    ]
    say(f"gates of {len(jobs)} variants")
    at_once = min(max(1, (os.cpu_count() or 1) // 2), MOST_GATES)
    running: dict[Worker, str] = {}
    try:
        while jobs or running:
            while jobs and len(running) < at_once:
                name, job = jobs.pop(0)
                running[start(job)] = name
            answered = select.select(running, [], [], plan.patience)[0]
            for worker in answered or list(running)[:1]:
                answer = _gate_answer(worker, plan.patience)
                if reason := answer.get("unusable"):
                    raise InputError(reason)
                name = running.pop(worker)
                worker.stop()
                if reason := answer["refused"]:
                    say(f"  {worker.name} is refused on {name}: {reason}")
                    results["workloads"][name]["refused"] |= {
                        variant: reason
                        for variant in plan.variants
                        if variant.removesuffix(" again") == worker.name
                    }
                else:
                    say(f"  {worker.name} has passed on {name}")
    finally:
        for worker in running:
            worker.stop()


def _gate_answer(worker: Worker, patience: float) -> dict[str, Any]:
    """What a gate says; XLA ends a process whose flags it does not know."""
    try:
        return worker.answer(patience)
    except WorkerError as error:
        if not xla_flags(worker.name):
            raise
        return {"refused": f"{error}; perhaps this XLA lacks its flags"}


def _measure_set(plan, results, names, out, say, start) -> None:
    """A fresh process for each variant of the workloads; then their rounds."""
    workers: dict[tuple[str, str], Worker] = {}
    try:
        for name in names:
            found = results["workloads"][name]
            found["sets"].append({"busy": [], "order": [], "variants": {}})
            for variant in plan.variants:
                if variant not in found["refused"]:
                    job = job_of(plan, name, variant, check=False)
                    workers[name, variant] = start(job)
        for worker in workers.values():  # all have loaded before one compiles
            if reason := worker.answer(plan.patience).get("unusable"):
                raise InputError(reason)
        for key, answer in _answers(plan, dict(workers)):
            _drop_refused(results, workers, key, answer, say)
        for name in names:
            _measure_rounds(plan, results, name, workers, out, say)
    finally:
        for worker in workers.values():
            worker.stop()


def _answers(plan: Plan, waiting: dict) -> Iterator[tuple[Any, dict]]:
    """Asks each worker, so many at once; their keys and answers."""
    running: dict[Worker, Any] = {}
    while waiting or running:
        while waiting and len(running) < plan.at_once:
            key = next(iter(waiting))
            waiting[key].ask()
            running[waiting.pop(key)] = key
        ready = select.select(running, [], [], plan.patience)[0]
        for worker in ready or list(running)[:1]:
            yield running.pop(worker), worker.answer(plan.patience)


def _drop_refused(results, workers, key, answer, say) -> bool:
    name, variant = key
    if reason := answer.pop("refused", None):
        say(f"  {variant} is refused on {name}: {reason}")
        results["workloads"][name]["refused"][variant] = reason
        workers.pop(key).stop()
    return bool(reason)


def _measure_rounds(plan, results, name, workers, out, say) -> None:
    """Warms the variants of a workload up, alone; then times its rounds."""
    found = results["workloads"][name]
    one = found["sets"][-1]
    for key in [key for key in workers if key[0] == name]:
        workers[key].ask()
        ready = workers[key].answer(plan.patience)
        if not _drop_refused(results, workers, key, ready, say):
            one["variants"][key[1]] = {**ready, "seconds": [], "joules": []}
            say(f"  {key[1]} is ready")
    variants = list(one["variants"])
    if not variants:
        return
    rng = random.Random(len(found["sets"]) - 1)
    for _ in range(plan.rounds):
        one["busy"].append(_busy())
        one["order"].append(rng.sample(variants, len(variants)))
        for variant in one["order"][-1]:
            worker = workers[name, variant]
            worker.ask()
            answer = worker.answer(plan.patience)
            for key in ("seconds", "joules"):
                one["variants"][variant][key].append(answer[key])
            if answer["compiled"]:
                found["refused"][variant] = "it compiled in a timed block"
        _write(results, out)


def _busy() -> float | None:
    """The share of the processors that others keep busy, while we wait."""
    before = _jiffies()
    time.sleep(0.2)
    after = _jiffies()
    if before is None or after is None:
        return None
    idle, total = (b - a for a, b in zip(before, after, strict=True))
    return round(1 - idle / max(total, 1), 3)


def _jiffies() -> tuple[int, int] | None:
    path = Path("/proc/stat")
    if not path.exists():
        return None
    numbers = list(map(int, path.read_text().split("\n", 1)[0].split()[1:9]))
    return numbers[3] + numbers[4], sum(numbers)
