"""The tables of the README files that are not of times alone."""

import json
import re
from pathlib import Path
from typing import Any

from benchmarks import stability_report
from benchmarks.analysis import tabulate
from benchmarks.equivalence import clopper_pearson
from benchmarks.stability import load_stability
from experiment.errors import InputError
from experiment.levels import level_rows
from experiment.pages import describe, markdown_table
from experiment.recipes import RECIPES, STARTS
from experiment.scores import Scores, describe_scores, score_rows

ROOT = Path(__file__).parent.parent
_QUALITY = ROOT / "benchmarks/quality"
_KINDS = (
    "metrics",
    "gradients",
    "weights",
    "moments",
    "statistics",
    "evaluation",
)


def demo(results: dict[str, Any]) -> str:
    """What a run of the demo showed."""
    errors = results["largest_difference"]
    over = f"{results['compared_iterations']} float64 iterations"
    rows = [
        ["parameters", f"{results['parameters']:,}"],
        [f"largest difference of losses, {over}", f"{errors['metrics']:.1e}"],
        [f"largest difference of weights, {over}", f"{errors['weights']:.1e}"],
    ]
    for name, speed in results["images_per_second"].items():
        rows.append([f"images/s, {name}", f"{speed:,}"])
    for name, scores in results["quality"].items():
        shown = describe_scores(scores)
        rows.append([f"{scores['images']:,} samples, {name}", shown])
    stability = load_stability(ROOT / "benchmarks/stability.json")
    rows.append([*stability_report.usual(stability)])
    rows.append([*stability_report.failures(stability)])
    rows += [[name, text] for name, text in results["verdicts"].items()]
    table = markdown_table([f"recipe {results['recipe']}", "both twins"], rows)
    return f"{table}\n\n{describe(results['machine'])}; float32."


def levels(results: dict[str, Any]) -> str:
    """The test levels of parity, and their errors next to the bounds."""
    header = ["test level", "comparisons", "nearest to its bound", "bound"]
    table = markdown_table(header, level_rows(results["measured"]))
    return f"{table}\n\n{describe(results['machine'])}."


def parity(results: dict[str, Any]) -> str:
    """The largest errors of 100 iterations, by recipe and kind."""
    rows = []
    # A test of one recipe alone has its name; others have it as a parameter.
    for recipe in ("digits", "lecture", "mlp", "dcgan", "paper"):
        pattern = rf"test_100_steps\w*(_of_{recipe}\[|.*{recipe}-)"
        runs = [
            errors
            for name, errors in results["measured"].items()
            if re.search(pattern, name)
        ]
        worst = [
            max(run[kind]["error"] for run in runs if kind in run)
            if any(kind in run for run in runs)
            else None
            for kind in _KINDS
        ]
        cells = ["none" if e is None else f"{e:.1e}" for e in worst]
        rows.append([f"{recipe}, {len(runs)} runs", *cells])
    return markdown_table(["recipe", *_KINDS], rows)


def causes(results: list[dict[str, Any]]) -> str:
    """What is said of every injected difference."""
    rows = [
        [row["difference"], row["kind"], row["said"] or "cause unknown"]
        for row in results
    ]
    right = sum(row["right"] for row in results)
    wrong = sum(bool(row["said"]) and not row["right"] for row in results)
    table = markdown_table(["injected difference", "in", "explained by"], rows)
    return (
        f"Right: {right} of {len(rows)}; unknown: {len(rows) - right - wrong}; "
        f"wrong: {wrong}.\n\n{table}"
    )


_NAMES = {"jax_gan": "JAX", "torch_ref": "PyTorch"}


def quality() -> str:
    """The scores of runs of both twins, next to the baselines of evaluate."""
    runs = {}
    for path in sorted(_QUALITY.glob("*.json")):
        results = json.loads(path.read_text())
        twin = path.stem.rpartition("-")[2]
        samples = results["scores"].pop("samples")
        runs[f"{results['recipe']}, {_NAMES[twin]}"] = samples
    # The initial weights of one recipe stand for all.
    scores = {k: Scores(**v) for k, v in (runs | results["scores"]).items()}
    header, *rows = score_rows(scores)
    return markdown_table(header, rows)


# By which a reader chooses a recipe.
_ABOUT = {
    "digits": "the default: a small DCGAN",
    "mlp": "the paper's multilayer perceptron",
    "lecture": "the smallest: one hidden layer each",
    "figure1": "one dimension, as in the paper's Figure 1",
    "dcgan": "convolutions and batch normalisation",
    "dcgan64": "your own images, 64x64 in colour",
    "paper": "the authors' own code",
    "paper-algorithm1": "the same networks by Algorithm 1",
}


def recipes() -> str:
    """What each recipe is, how long it takes and how good it is."""
    speed = json.loads((ROOT / "benchmarks/speed.json").read_text())
    shown = json.loads((ROOT / "benchmarks/demo/demo.json").read_text())
    rows = []
    for name, about in _ABOUT.items():
        config, seconds = RECIPES[name], []
        if name in speed["workloads"]:
            best = tabulate(speed["workloads"][name]).best_rows()
            seconds = [
                config.steps * best[twin].milliseconds.estimate / 1000
                for twin in ("jax", "torch")
            ]
        elif name == shown["recipe"]:
            images = config.steps * config.batch_size
            seconds = [images / s for s in shown["images_per_second"].values()]
        distances = [
            f"{_distance(path):.0f}"
            for twin in _NAMES
            if (path := _QUALITY / f"{name}-{twin}.json").exists()
        ]
        iterations = f"{config.steps:,}"
        times = " / ".join(map(_duration, seconds))
        row = [f"`{name}`", about, config.data, iterations, times]
        rows.append([*row, " / ".join(distances)])
    header = ["recipe", "what it is", "data", "iterations"]
    header += ["training, JAX / PyTorch", "Fréchet distance, JAX / PyTorch"]
    table = markdown_table(header, rows)
    return f"{table}\n\nTraining time: {describe(shown['machine'])}."


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _distance(path: Path) -> float:
    scores = json.loads(path.read_text())["scores"]
    return scores["samples"]["frechet_distance"]


def paper() -> str:
    """Every judged run of recipe ``paper``, by its length.

    Runs of other lengths or seeds than the recipe's are in a separate folder.
    The name of every file has the twin's.

    Raises:
        InputError: a run was judged by other images than those of mnist.
    """
    rows = []
    for path in _QUALITY.rglob("*.json"):
        results = json.loads(path.read_text())
        if results["recipe"] != "paper":
            continue
        if results["judged_by"] != "mnist":
            raise InputError(
                f"{path} was judged by {results['judged_by']}: evaluate it "
                "with --data-dir of mnist"
            )
        scores = Scores(**results["scores"]["samples"])
        epochs = results["step"] / RECIPES["paper"].epoch_steps
        row = [
            f"{scores.log_likelihood:.0f} ± {scores.standard_error:.0f}",
            f"{scores.sigma:.3f}{'*' * scores.sigma_on_edge}",
            f"{scores.frechet_distance:.1f}",
            f"{scores.digits}",
        ]
        twin = next(_NAMES[name] for name in _NAMES if name in path.stem)
        rows.append((epochs, twin, results["seed"], row))
    header = ["epochs", "twin", "seed", "Parzen, nats", "sigma"]
    header += ["Fréchet distance", "digits shown"]
    lines = [
        [f"{epochs:,.0f}", twin, f"{seed}", *row]
        for epochs, twin, seed, row in sorted(rows)
    ]
    return markdown_table(header, lines)


def starts() -> str:
    """How often a start fails, for every recipe that was tried."""
    rows = []
    for name, counts in STARTS.items():
        failed = counts.collapsed + counts.diverged
        low, high = clopper_pearson(failed, counts.tried)
        rows.append(
            [
                f"`{name}`",
                f"{counts.tried}",
                f"{counts.iterations:,}",
                f"{counts.collapsed}",
                f"{counts.diverged}",
                f"{low:.1%} to {high:.1%}",
            ]
        )
    header = ["recipe", "runs", "iterations", "collapsed", "diverged"]
    return markdown_table([*header, "either (95 %)"], rows)
