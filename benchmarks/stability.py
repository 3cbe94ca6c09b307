"""How often a recipe succeeds: many seeds in both twins, each run judged.

A run starts from a seed, whose initial weights and random numbers are the same
in both twins, or from the weights of seed 0 changed by one unit in the last
place, which shows the effect of rounding alone. Every run is watched for a
collapse, and its samples are judged by the digit classifier. Here are the plan
and the file of a study; ``stability_study`` makes its runs, and
``stability_report`` says what they show.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.schema import read_json
from experiment.chunks import CHUNK
from experiment.config import Config
from experiment.data import DIGITS
from experiment.errors import InputError
from experiment.scores import describe_scores
from experiment.watch import WINDOW

SCHEMA, VERSION = "gan-stability", 1
TWINS = {"JAX": "jax_gan", "PyTorch": "torch_ref"}
SAMPLES = 1_000
# Of each twin, to compare them: then half of a difference's interval is about
# half the standard deviation over seeds.
FEWEST_SEEDS = 20


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


@dataclass(frozen=True)
class Plan:
    """What the runs of a file share, and where their data come from.

    The seed of ``config`` is not used.

    Raises:
        InputError: the recipe is not one of digits.
    """

    config: Config
    data_dir: Path | None
    download: bool

    def __post_init__(self):
        """Checks that samples of the recipe can be judged."""
        if self.config.data not in DIGITS:
            raise InputError(
                f"recipe {self.config.recipe} of data {self.config.data} "
                f"cannot be judged: take a recipe of {' or '.join(DIGITS)}"
            )

    def choices(self) -> dict[str, Any]:
        """The settings of the recipe that a file keeps, without a seed."""
        settings = asdict(self.config)
        return {
            k: v for k, v in settings.items() if k not in ("recipe", "seed")
        }


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


def diverged(run: Mapping[str, Any]) -> bool:
    """Whether a run's losses became infinite or NaN: it has no scores."""
    return run["scores"] is None


def summary(run: Mapping[str, Any]) -> str:
    """One line of a run's result."""
    collapse, took = run["collapse"], f"{run['seconds']:.0f} s"
    if diverged(run):
        return f"diverged in iteration {collapse['since']:,}, {took}"
    end = f"collapsed at iteration {collapse['since']:,}, " if collapse else ""
    return f"{end}{describe_scores(run['scores'])}, {took}"


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


def open_study(path: Path, plan: Plan) -> dict[str, Any]:
    """The contents of a file, if its runs are those of the plan.

    Raises:
        InputError: the file is damaged, or of another plan.
    """
    judge = "mnist" if plan.data_dir else "mnist5k"
    fresh = {
        "schema": SCHEMA,
        "version": VERSION,
        "recipe": plan.config.recipe,
        "config": json.loads(json.dumps(plan.choices())),
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
        kept = results["config"].get(name, value)
        if kept != value:
            raise InputError(
                f"{path} has {name.replace('_', '-')} {kept}, not {value}: "
                "name another --out"
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
    """The contents of a file of ``stability_study``, verified.

    Raises:
        InputError: the file is damaged, or of another schema or version.
    """
    return read_json(
        path, SCHEMA, VERSION, "stability", "name another --out", _verify
    )


def _verify(results: Mapping[str, Any]) -> None:
    for name, kind in _KINDS.items():
        if not isinstance(results[name], kind):
            raise TypeError(f"{name} is not a {kind.__name__}")
    starts = [Run(*(run[k] for k in Run._fields)) for run in results["runs"]]
    if len(set(starts)) < len(starts):
        raise ValueError("a run is there twice")
    for start, run in zip(starts, results["runs"], strict=True):
        TWINS[start.twin]
        if not all(type(number) is int for number in start[1:]):
            raise TypeError(f"the seeds of {start}")
        results["machines"][run["machine"]]
        summary(run)
        whole = not diverged(run)
        if run["margin"] != (margins(run["course"]) if whole else None):
            raise ValueError("a margin is not that of its course")
