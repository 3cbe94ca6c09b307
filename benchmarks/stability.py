"""How often a recipe holds: many seeds in both twins, each run judged.

A run is a seed, whose initial weights and random numbers are the same in both
twins, or seed 0 from weights that are moved by one unit in the last place:
what rounding alone decides. Every run is watched for a collapse, and its
samples are judged by the digit classifier. The file is written after every
run, and the same command resumes it.
"""

import json
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from experiment.config import Config, InputError
from experiment.data import DIGITS, load, load_splits
from experiment.evaluate import describe_scores, score
from experiment.files import replace_text
from experiment.initial import moved_by_one_ulp
from experiment.machine import describe_machine
from experiment.recipes import recipe
from experiment.stream import fixed_noise
from experiment.training import CHUNK, iterate
from experiment.watch import WINDOW, Watch, data_spread

SCHEMA, VERSION = "gan-stability", 1
TWINS = {"JAX": "jax_gan", "PyTorch": "torch_ref"}
SAMPLES = 1_000
SCORES = ("frechet_distance", "digits", "largest_share", "confidence")


class Run(NamedTuple):
    """One run: of a seed, or of seed 0 and a seed of its perturbation."""

    twin: str
    seed: int
    perturbed: int = 0

    def __str__(self) -> str:
        """Its twin and its start."""
        start = f"seed {self.seed}"
        if self.perturbed:
            start += f", one ulp away ({self.perturbed})"
        return f"{self.twin}, {start}"


class Plan(NamedTuple):
    """What the runs of a file have in common, and where data come from."""

    config: Config
    data_dir: Path | None
    download: bool


def plan_runs(seeds: int, perturbed: int) -> list[Run]:
    """The runs of a study, twins in turn.

    Raises:
        InputError: a number is out of its range.

    Example:
        >>> [str(run) for run in plan_runs(1, 0)]
        ['JAX, seed 0', 'PyTorch, seed 0']
    """
    if seeds < 1:
        raise InputError(f"--seeds is {seeds}: it must be at least 1")
    if perturbed < 0:
        raise InputError(f"--perturbed is {perturbed}: it must be at least 0")
    starts = [(seed, 0) for seed in range(seeds)]
    starts += [(0, number) for number in range(1, perturbed + 1)]
    return [Run(twin, *start) for start in starts for twin in TWINS]


def measure(
    plan: Plan,
    runs: list[Run],
    jobs: int,
    path: Path,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Makes the runs that the file does not have yet; returns its contents.

    Args:
        plan: the experiment; its seed is not used.
        runs: of ``plan_runs``.
        jobs: processes, each on one core.
        path: the JSON file, which may exist.
        say: takes a line of progress.

    Raises:
        InputError: the recipe is not one of digits, the file is another's, or
            a process ended.
    """
    if plan.config.data not in DIGITS:
        raise InputError(
            f"recipe {plan.config.recipe} of data {plan.config.data} cannot be "
            f"judged: take a recipe of {' or '.join(DIGITS)}"
        )
    if jobs < 1:
        raise InputError(f"--jobs is {jobs}: it must be at least 1")
    results = _open(path, plan)
    machine = describe_machine()
    if machine not in results["machines"]:
        results["machines"].append(machine)
    number = results["machines"].index(machine)
    done = {Run(*(one[k] for k in Run._fields)) for one in results["runs"]}
    missing = [run for run in runs if run not in done]
    if not missing:
        return results
    say(f"{len(missing)} runs of {plan.config.steps:,} iterations, {jobs} jobs")
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        jobs, context, initializer=_settle, initargs=(context.Value("i", 0),)
    )
    try:
        futures = {pool.submit(train_and_judge, plan, r): r for r in missing}
        for count, future in enumerate(as_completed(futures), start=1):
            one = {**future.result(), "machine": number}
            results["runs"].append(one)
            results["runs"].sort(key=lambda r: [r[k] for k in Run._fields])
            replace_text(path, json.dumps(results) + "\n")
            say(f"{count}/{len(missing)}  {futures[future]}: {summary(one)}")
    except BrokenProcessPool as error:
        raise InputError(
            "a process of --jobs ended (out of memory?): the runs so far are "
            f"in {path}; call again, with fewer --jobs"
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return results


def summary(run: dict[str, Any]) -> str:
    """One line of a run's result."""
    lost = run["collapse"]
    end = f"collapsed at iteration {lost['since']:,}, " if lost else ""
    return f"{end}{describe_scores(run['scores'])}, {run['seconds']:.0f} s"


def _settle(counter: Any) -> None:
    """Binds a process to a core: two of one thread beat one of two."""
    with counter.get_lock():
        number = counter.value
        counter.value += 1
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})


def train_and_judge(plan: Plan, run: Run) -> dict[str, Any]:
    """One run from its start to its scores."""
    start = perf_counter()
    twin = import_module(TWINS[run.twin])
    config = recipe(
        plan.config.recipe, **_changes(plan.config) | {"seed": run.seed}
    )
    data = load(config, plan.data_dir, plan.download)
    device = twin.select_device("auto", config)
    game = twin.create(config, data, device)
    if run.perturbed:
        state = moved_by_one_ulp(twin.to_numpy(game), run.perturbed)
        game = twin.from_numpy(game, state)
    watch, collapse = Watch(data_spread(config, data)), None
    course: dict[str, list[float]] = {}
    for chunk in iterate(twin, config, data, device, game, 0):
        game = chunk.game
        collapse = collapse or watch.update(chunk.history)
        for name, values in _course(chunk.history).items():
            course.setdefault(name, []).append(values)
    samples = twin.sample_images(game, fixed_noise(config, SAMPLES))
    scores = score(samples, load_splits(plan.data_dir, plan.download))._asdict()
    return {
        **run._asdict(),
        "seconds": round(perf_counter() - start, 1),
        "collapse": asdict(collapse) if collapse else None,
        "scores": {name: scores[name] for name in SCORES},
        "margin": margins(course),
        "course": course,
    }


def _course(history: dict[str, Any]) -> dict[str, float]:
    return {
        "step": int(history["step"][-1]),
        "real_probability": round(float(history["real_probability"].mean()), 4),
        "fake_probability": round(float(history["fake_probability"].mean()), 4),
        "sample_spread": round(float(history["sample_spread"][-1]), 4),
    }


def margins(course: dict[str, list[float]]) -> dict[str, float]:
    """D(x) - D(G(z)): its largest and its last mean over 500 iterations.

    Example:
        >>> margins({"real_probability": [0.9] * 20,
        ...          "fake_probability": [0.1] * 10 + [0.4] * 10})
        {'worst': 0.8, 'final': 0.5}
    """
    real, fake = (
        np.array(course[f"{kind}_probability"]) for kind in ("real", "fake")
    )
    width = min(WINDOW // CHUNK, len(real))
    means = np.convolve(real - fake, np.full(width, 1 / width), "valid")
    return {
        "worst": round(float(means.max()), 4),
        "final": round(float(means[-1]), 4),
    }


def _changes(config: Config) -> dict[str, Any]:
    """The choices of a config, as a file keeps them: without its seed."""
    return {k: v for k, v in asdict(config).items() if k not in _OF_A_RUN}


_OF_A_RUN = ("recipe", "seed")


def _open(path: Path, plan: Plan) -> dict[str, Any]:
    """What a file has so far, if its runs are those of the plan."""
    judge = "mnist" if plan.data_dir else "mnist5k"
    fresh = {
        "schema": SCHEMA,
        "version": VERSION,
        "recipe": plan.config.recipe,
        "config": json.loads(json.dumps(_changes(plan.config))),
        "judged_by": judge,
        "machines": [],
        "runs": [],
    }
    if not path.exists():
        return fresh
    results = load_stability(path)
    for name in ("recipe", "judged_by"):
        if results[name] != fresh[name]:
            raise InputError(
                f"{path} is of {name.replace('_', ' ')} {results[name]}, not "
                f"{fresh[name]}: name another --out"
            )
    for name, value in fresh["config"].items():
        if results["config"].get(name) != value:
            raise InputError(
                f"{path} has {name.replace('_', '-')} "
                f"{results['config'].get(name)}, not {value}: name another "
                "--out"
            )
    return results


_KINDS = {
    "recipe": str,
    "config": dict,
    "judged_by": str,
    "machines": list,
    "runs": list,
}


def load_stability(path: Path) -> dict[str, Any]:
    """What ``measure`` wrote.

    Raises:
        InputError: the file is damaged, or of another schema or version.
    """
    try:
        results = json.loads(path.read_text())
        known = (results["schema"], results["version"]) == (SCHEMA, VERSION)
        if known:
            for name, kind in _KINDS.items():
                if not isinstance(results[name], kind):
                    raise TypeError(f"{name} is no {kind.__name__}")
            for run in results["runs"]:
                TWINS[Run(*(run[k] for k in Run._fields)).twin]
                results["machines"][run["machine"]]
                summary(run)
                if run["margin"] != margins(run["course"]):
                    raise ValueError("a margin is not that of its course")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is no stability file or is damaged ({error!r}): name "
            "another --out"
        ) from error
    if not known:
        raise InputError(
            f"{path} is not a {SCHEMA} of version {VERSION}: name another --out"
        )
    return results
