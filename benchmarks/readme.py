"""The tables of the README files, made from the committed measurements.

``python -m benchmarks readme`` writes them between their markers; a test
compares the files with them.
"""

import ast
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import quality, speed_tables, stability_report
from benchmarks.equivalence import clopper_pearson
from benchmarks.results import (
    tabulate,
)
from benchmarks.stability import load_stability
from experiment.pages import describe, markdown_table
from experiment.recipes import RECIPES, STARTS
from experiment.rungs import rung_rows
from experiment.scores import Scores, describe_scores, score_rows

ROOT = Path(__file__).parent.parent
_QUALITY = ROOT / "benchmarks/quality"
KINDS = (
    "metrics",
    "gradients",
    "weights",
    "moments",
    "statistics",
    "evaluation",
)


PAGES = (
    "README.md",
    "experiment/README.md",
    "parity_tests/README.md",
    "benchmarks/README.md",
)


def render(text: str) -> str:
    """The text of a page with every table between its markers made anew.

    Raises:
        KeyError: a marker names no table.
    """

    def table(found: re.Match[str]) -> str:
        name = found[1]
        return f"<!-- {name} -->\n{_TABLES[name]()}\n<!-- end -->"

    return re.sub(
        r"<!-- (\w+) -->\n.*?<!-- end -->", table, text, flags=re.DOTALL
    )


def write_pages() -> list[Path]:
    """Writes every page with its tables made anew; returns the paths."""
    paths = [ROOT / page for page in PAGES]
    for path in paths:
        path.write_text(render(path.read_text()))
    return paths


# What Algorithm 1 says, and the function that does it in both twins.
_LINES = {
    "discriminator_step": "Sample m noise samples and m examples; update the "
    "discriminator by ascending its stochastic gradient",
    "generator_step": "Sample m noise samples; update the generator by "
    "descending its stochastic gradient",
    "train_step": "for k steps do",
    "train": "for number of training iterations do",
}


def _algorithm(*names: str) -> str:
    """Functions of train.py in both twins, side by side; all if not named."""
    rows = ["<table>", "<tr><th>jax_gan</th><th>torch_ref</th></tr>"]
    for name in names or _LINES:
        line = _LINES[name]
        rows.append(f'<tr><td colspan="2"><i>{line}</i></td></tr>')
        rows.append("<tr>")
        for twin in ("jax_gan", "torch_ref"):
            code = _function(ROOT / twin / "train.py", name)
            rows.append(f"<td>\n\n```python\n{code}\n```\n\n</td>")
        rows.append("</tr>")
    return "\n".join([*rows, "</table>"])


def _function(path: Path, name: str) -> str:
    """The code of a function without its docstring."""
    text = path.read_text()
    (node,) = (
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    )
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    docstring = node.body[0]
    lines = text.splitlines()
    kept = (
        lines[first - 1 : docstring.lineno - 1]
        + lines[docstring.end_lineno : node.end_lineno]
    )
    return "\n".join(kept)


def _demo(results: dict[str, Any]) -> str:
    gaps = results["largest_difference"]
    over = f"{results['compared_iterations']} float64 iterations"
    rows = [
        ["parameters", f"{results['parameters']:,}"],
        [f"largest difference of losses, {over}", f"{gaps['metrics']:.1e}"],
        [f"largest difference of weights, {over}", f"{gaps['weights']:.1e}"],
    ]
    for name, speed in results["images_per_second"].items():
        rows.append([f"images/s, {name}", f"{speed:,}"])
    for name, of in results["quality"].items():
        shown = describe_scores(of)
        rows.append([f"{of['images']:,} samples, {name}", shown])
    stability = load_stability(ROOT / "benchmarks/stability.json")
    rows.append([*stability_report.usual(stability)])
    rows += [[name, text] for name, text in results["verdicts"].items()]
    table = markdown_table([f"recipe {results['recipe']}", "both twins"], rows)
    return f"{table}\n\n{describe(results['machine'])}; float32."


def _ladder(results: dict[str, Any]) -> str:
    header = ["rung", "comparisons", "nearest to its bound", "bound"]
    table = markdown_table(header, rung_rows(results["measured"]))
    return f"{table}\n\n{describe(results['machine'])}."


def _parity(results: dict[str, Any]) -> str:
    rows = []
    for recipe in ("lecture", "mlp", "dcgan", "paper"):
        runs = [
            gaps
            for name, gaps in results["measured"].items()
            if "test_100_steps" in name and f"{recipe}-" in name
        ]
        worst = [
            max(gaps[kind]["error"] for gaps in runs if kind in gaps)
            if any(kind in gaps for gaps in runs)
            else None
            for kind in KINDS
        ]
        errors = ["none" if e is None else f"{e:.1e}" for e in worst]
        rows.append([f"{recipe}, {len(runs)} runs", *errors])
    return markdown_table(["recipe", *KINDS], rows)


_NAMES = {"jax_gan": "JAX", "torch_ref": "PyTorch"}


def _quality() -> str:
    """What evaluate wrote of runs of both twins, beside its baselines."""
    sets = {}
    for path in sorted(_QUALITY.glob("*.json")):
        results = json.loads(path.read_text())
        twin = path.stem.rpartition("-")[2]
        samples = results["scores"].pop("samples")
        sets[f"{results['recipe']}, {_NAMES[twin]}"] = samples
    # The first weights of one recipe stand for all.
    scores = {k: Scores(**v) for k, v in (sets | results["scores"]).items()}
    header, *rows = score_rows(scores)
    return markdown_table(header, rows)


# What a reader chooses a recipe by.
_ABOUT = {
    "digits": "the default: a small DCGAN",
    "mlp": "the paper's multilayer perceptron",
    "lecture": "the smallest: one hidden layer each",
    "figure1": "one dimension, as in the paper's Figure 1",
    "dcgan": "convolutions and batch normalisation",
    "dcgan64": "your own pictures, 64x64 in colour",
    "paper": "the authors' own code",
    "paper-algorithm1": "the same networks by Algorithm 1",
}


def _recipes() -> str:
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
        times = [
            f"{s:.0f} s" if s < 90 else f"{s / 60:.0f} min" for s in seconds
        ]
        row = [f"`{name}`", about, config.data, iterations]
        rows.append([*row, " / ".join(times), " / ".join(distances)])
    header = ["recipe", "what it is", "data", "iterations"]
    header += ["training, JAX / PyTorch", "Fréchet distance, likewise"]
    table = markdown_table(header, rows)
    return f"{table}\n\nTraining time: {describe(shown['machine'])}."


def _duration(seconds: float) -> str:
    minutes = f"{seconds / 60:.0f} min"
    return f"{seconds:.0f} s" if seconds < 90 else minutes


def _distance(path: Path) -> float:
    scores = json.loads(path.read_text())["scores"]
    return scores["samples"]["frechet_distance"]


def _paper() -> str:
    """Every judged run of the recipe paper, by its length.

    Those of other lengths or seeds than the recipe's lie in a folder of their
    own; the names of all have their twin's.
    """
    rows = []
    for path in _QUALITY.rglob("*.json"):
        results = json.loads(path.read_text())
        if results["recipe"] != "paper":
            continue
        assert results["judged_by"] == "mnist", f"{path}: another judge"
        of = Scores(**results["scores"]["samples"])
        epochs = results["step"] / RECIPES["paper"].epoch_steps
        row = [
            f"{of.log_likelihood:.0f} ± {of.standard_error:.0f}",
            f"{of.sigma:.3f}{'*' * of.sigma_on_edge}",
            f"{of.frechet_distance:.1f}",
            f"{of.digits}",
        ]
        twin = next(_NAMES[name] for name in _NAMES if name in path.stem)
        rows.append((epochs, twin, results["seed"], row))
    header = ["epochs", "twin", "seed", "Parzen, nats", "sigma"]
    header += ["Frechet distance", "digits shown"]
    lines = [
        [f"{epochs:,.0f}", twin, f"{seed}", *row]
        for epochs, twin, seed, row in sorted(rows)
    ]
    return markdown_table(header, lines)


def _starts() -> str:
    """How often a start fails, of every recipe that was tried."""
    rows = []
    for name, starts in STARTS.items():
        failed = starts.collapsed + starts.diverged
        low, high = clopper_pearson(failed, starts.tried)
        rows.append(
            [
                f"`{name}`",
                f"{starts.tried}",
                f"{starts.iterations:,}",
                f"{starts.collapsed}",
                f"{starts.diverged}",
                f"{low:.1%} to {high:.1%}",
            ]
        )
    header = ["recipe", "runs", "iterations", "collapsed", "diverged"]
    return markdown_table([*header, "either (95 %)"], rows)


def _of(source: str, make: Callable[[Any], str]) -> Callable[[], str]:
    """The table that ``make`` makes of a committed JSON file."""
    return lambda: make(json.loads((ROOT / source).read_text()))


_TABLES: dict[str, Callable[[], str]] = {
    "algorithm": _algorithm,
    "twins": lambda: _algorithm("generator_step"),
    "recipes": _recipes,
    "quality": _quality,
    "paper": _paper,
    "starts": _starts,
    "demo": _of("benchmarks/demo/demo.json", _demo),
    "ladder": _of("parity_tests/report/parity.json", _ladder),
    "parity": _of("parity_tests/report/parity.json", _parity),
    "study": _of("benchmarks/study.json", quality.tables),
    "stability": _of("benchmarks/stability.json", stability_report.tables),
    "speed": _of("benchmarks/speed.json", speed_tables.speed),
    "bfloat16": _of("benchmarks/bfloat16.json", speed_tables.speed),
    "seeds": _of("benchmarks/seeds.json", speed_tables.seeds),
    "gpu": _of("benchmarks/gpu/tf32.json", speed_tables.speed),
}
