"""Makes the runs of a stability study, several concurrently.

The file is written after every run, and the same command resumes it.
"""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

from numpy.typing import NDArray

from benchmarks.schema import write_json
from benchmarks.stability import (
    SAMPLES,
    TWINS,
    Plan,
    Run,
    margins,
    open_study,
    summary,
)
from experiment.chunks import DivergedError, iterate
from experiment.data import load, load_splits
from experiment.errors import InputError
from experiment.evaluate import score
from experiment.initial import moved_by_one_ulp
from experiment.machine import describe_machine
from experiment.recipes import recipe
from experiment.signals import stopping
from experiment.stream import fixed_noise
from experiment.watch import Watch, data_spread

SCORES = ("frechet_distance", "digits", "largest_share", "confidence")


def measure(
    plan: Plan,
    runs: list[Run],
    jobs: int,
    path: Path,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Makes the runs that the file lacks; returns its contents.

    Args:
        plan: the experiment.
        runs: of ``plan_runs``.
        jobs: processes, each on one core.
        path: the JSON file, which may exist.
        say: takes a line of progress.

    Raises:
        InputError: the file is of another study, data are missing, or a
            process ended.
    """
    results = open_study(path, plan)
    done = {Run(*(one[k] for k in Run._fields)) for one in results["runs"]}
    missing = [run for run in runs if run not in done]
    if not missing:
        return results
    machine = describe_machine()
    if machine not in results["machines"]:
        results["machines"].append(machine)
    number = results["machines"].index(machine)
    # Before a process starts, and fetched once for all.
    load(plan.config, plan.data_dir, plan.download)
    load_splits(plan.data_dir, plan.download)
    there = f" ({len(done)} are there)" if done else ""
    say(
        f"runs: {len(missing)}{there}, of {plan.config.steps:,} iterations; "
        f"jobs: {jobs}"
    )
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        jobs, context, initializer=_settle, initargs=(context.Value("i", 0),)
    )
    try:
        with stopping():
            runs_of = {
                pool.submit(train_and_judge, plan, r): r for r in missing
            }
            for count, future in enumerate(as_completed(runs_of), start=1):
                one = {**future.result(), "machine": number}
                results["runs"].append(one)
                results["runs"].sort(key=lambda r: [r[k] for k in Run._fields])
                write_json(path, results, indent=None)
                say(
                    f"{count}/{len(missing)}  {runs_of[future]}: {summary(one)}"
                )
    except KeyboardInterrupt:
        for process in multiprocessing.active_children():
            process.terminate()
        say(
            f"stopped; {path} has {len(results['runs'])} of {len(runs)} runs, "
            "the same command makes the others"
        )
        raise
    except BrokenProcessPool as error:
        raise InputError(
            "a process of --jobs ended (out of memory?): the runs so far are "
            f"in {path}; run the command again with fewer --jobs"
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return results


def _settle(counter: Any) -> None:
    """Binds a process to a core: faster than several threads in one."""
    with counter.get_lock():
        number = counter.value
        counter.value += 1
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})


def train_and_judge(plan: Plan, run: Run) -> dict[str, Any]:
    """One run from its start to its scores; a diverged run has none."""
    start = perf_counter()
    twin = import_module(TWINS[run.twin])
    config = recipe(plan.config.recipe, **plan.choices() | {"seed": run.seed})
    data = load(config, plan.data_dir, plan.download)
    device = twin.select_device("auto", config)
    game = twin.create(config, data, device)
    if run.perturbed:
        state = moved_by_one_ulp(twin.to_numpy(game), run.perturbed)
        game = twin.from_numpy(game, state)
    watch = Watch(data_spread(config, data), config.loss)
    collapse: dict[str, Any] | None = None
    course: dict[str, list[float]] = {name: [] for name in _COURSE}
    scores = margin = None
    try:
        for chunk in iterate(twin, config, data, device, game, 0):
            game = chunk.game
            if noticed := watch.update(chunk.history):
                collapse = collapse or asdict(noticed)
            for name, value_of in _COURSE.items():
                course[name].append(value_of(chunk.history[name]))
        samples = twin.sample_images(game, fixed_noise(config, SAMPLES))
        splits = load_splits(plan.data_dir, plan.download)
        every = score(samples, splits)._asdict()
        scores = {name: every[name] for name in SCORES}
        margin = margins(course)
    except DivergedError as error:
        at = error.iteration
        collapse = {"since": at, "noticed": at, "sign": "diverged"}
    return {
        **run._asdict(),
        "seconds": round(perf_counter() - start, 1),
        "collapse": collapse,
        "scores": scores,
        "margin": margin,
        "course": course,
    }


def _mean(values: NDArray) -> float:
    return round(float(values.mean()), 4)


# What is kept of each chunk.
_COURSE: dict[str, Callable[[NDArray], float]] = {
    "step": lambda values: int(values[-1]),
    "real_probability": _mean,
    "fake_probability": _mean,
    "sample_spread": lambda values: round(float(values[-1]), 4),
}
