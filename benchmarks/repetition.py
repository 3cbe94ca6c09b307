"""One process repetition of the ladder: fresh processes, then their rounds.

The processes get ready one by one and stay alive. In every round each is asked
for one block, in a new random order, so that background load affects all
variants. Every block is kept.
"""

import random
import select
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks import background
from benchmarks.plan import Plan, job_of
from benchmarks.processes import Worker
from benchmarks.worker import TimingJob
from experiment.errors import InputError

Key = tuple[str, str]  # workload, variant


def measure_repetition(
    plan: Plan,
    results: dict[str, Any],
    names: Sequence[str],
    save: Callable[[], None],
    say: Callable[[str], None],
    start: Callable[[TimingJob], Worker],
) -> None:
    """Starts a process for each variant of the workloads; times its rounds.

    Args:
        plan: of the ladder.
        results: which get the repetition.
        names: of the workloads.
        save: writes the results; called after every round.
        say: takes a line of progress.
        start: starts the worker of a job.

    Raises:
        InputError: the device is not supported.
        WorkerError: a worker ended or hung.
    """
    workers: dict[Key, Worker] = {}
    try:
        for name in names:
            workload = results["workloads"][name]
            workload["sets"].append({"busy": [], "order": [], "variants": {}})
            for variant in plan.variants:
                if variant not in workload["refused"]:
                    job = job_of(plan, name, variant, check=False)
                    workers[name, variant] = start(job)
        for worker in workers.values():  # all have loaded before one compiles
            if reason := worker.answer(plan.patience).get("unsupported"):
                raise InputError(reason)
        for key, answer in _answers(plan, dict(workers)):
            _drop_excluded(results, workers, key, answer, say)
        for name in names:
            _measure_rounds(plan, results, name, workers, save, say)
    finally:
        for worker in workers.values():
            worker.stop()


def _answers(
    plan: Plan, waiting: dict[Key, Worker]
) -> Iterator[tuple[Key, dict[str, Any]]]:
    """Asks each worker, ``plan.jobs`` concurrently; their keys and answers."""
    running: dict[Worker, Key] = {}
    while waiting or running:
        while waiting and len(running) < plan.jobs:
            key = next(iter(waiting))
            waiting[key].ask()
            running[waiting.pop(key)] = key
        ready = select.select(running, [], [], plan.patience)[0]
        for worker in ready or list(running)[:1]:
            yield running.pop(worker), worker.answer(plan.patience)


def _drop_excluded(results, workers, key, answer, say) -> bool:
    """Whether the answer excludes its variant, which is then recorded."""
    name, variant = key
    if reason := answer.pop("excluded", None):
        say(f"  {variant} is excluded on {name}: {reason}")
        results["workloads"][name]["refused"][variant] = reason
        workers.pop(key).stop()
    return bool(reason)


def _measure_rounds(plan, results, name, workers, save, say) -> None:
    """Warms up the variants of a workload, alone; then times its rounds."""
    workload = results["workloads"][name]
    repetition = workload["sets"][-1]
    variants = repetition["variants"]
    for key in [key for key in workers if key[0] == name]:
        workers[key].ask()
        ready = workers[key].answer(plan.patience)
        if not _drop_excluded(results, workers, key, ready, say):
            variants[key[1]] = {**ready, "seconds": [], "joules": []}
            say(f"  {key[1]} is ready")
    if not variants:
        return
    # Another order in every repetition, and the same if it is run again.
    rng = random.Random(len(workload["sets"]) - 1)
    for _ in range(plan.rounds):
        repetition["busy"].append(background.measure_background())
        repetition["order"].append(rng.sample(list(variants), len(variants)))
        for variant in repetition["order"][-1]:
            worker = workers[name, variant]
            worker.ask()
            answer = worker.answer(plan.patience)
            for key in ("seconds", "joules"):
                variants[variant][key].append(answer[key])
            if answer["compiled"]:
                workload["refused"][variant] = "it compiled in a timed block"
        save()
