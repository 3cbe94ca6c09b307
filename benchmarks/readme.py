"""The tables of the README, made from the committed measurements.

``python -m benchmarks readme`` writes them between their markers; a test
holds the README against them.
"""

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import quality, stability_report
from benchmarks.equivalence import clopper_pearson
from benchmarks.results import (
    Row,
    hardware,
    lacks_interval,
    refusals,
    tabulate,
    whole_sets,
)
from benchmarks.stability import load_stability
from experiment.pages import describe, markdown_table
from experiment.recipes import RECIPES, STARTS
from experiment.rungs import rung_rows
from experiment.scores import Scores, describe_scores, score_rows

ROOT = Path(__file__).parent.parent
KINDS = (
    "metrics",
    "gradients",
    "weights",
    "moments",
    "statistics",
    "evaluation",
)


def render(text: str) -> str:
    """The README's text with every table made anew."""
    tables = {
        "algorithm": _algorithm(),
        "quality": _quality(),
        "paper": _paper(),
        "starts": _starts(),
    }
    for name, (source, make) in _TABLES.items():
        tables[name] = make(json.loads((ROOT / source).read_text()))
    for name, table in tables.items():
        before, rest = text.split(f"<!-- {name} -->")
        _, after = rest.split("<!-- end -->", maxsplit=1)
        text = f"{before}<!-- {name} -->\n{table}\n<!-- end -->{after}"
    return text


# What Algorithm 1 says, and the function that does it in both twins.
_LINES = {
    "discriminator_step": "Sample m noise samples and m examples; update the "
    "discriminator by ascending its stochastic gradient",
    "generator_step": "Sample m noise samples; update the generator by "
    "descending its stochastic gradient",
    "train_step": "for k steps do",
    "train": "for number of training iterations do",
}


def _algorithm() -> str:
    """Each function of train.py in both twins, side by side."""
    rows = ["<table>", "<tr><th>jax_gan</th><th>torch_ref</th></tr>"]
    for name, line in _LINES.items():
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
    for path in sorted((ROOT / "benchmarks/quality").glob("*.json")):
        results = json.loads(path.read_text())
        twin = path.stem.rpartition("-")[2]
        samples = results["scores"].pop("samples")
        sets[f"{results['recipe']}, {_NAMES[twin]}"] = samples
    # The first weights of one recipe stand for all.
    scores = {k: Scores(**v) for k, v in (sets | results["scores"]).items()}
    header, *rows = score_rows(scores)
    return markdown_table(header, rows)


def _paper() -> str:
    """Every judged run of the recipe paper, by its length.

    Those of other lengths or seeds than the recipe's lie in a folder of their
    own; the names of all have their twin's.
    """
    rows = []
    for path in (ROOT / "benchmarks/quality").rglob("*.json"):
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
    """How often a start is lost, of every recipe that was tried."""
    rows = []
    for name, starts in STARTS.items():
        low, high = clopper_pearson(starts.collapsed, starts.tried)
        rows.append(
            [
                f"`{name}`",
                f"{starts.tried}",
                f"{starts.iterations:,}",
                f"{starts.collapsed}",
                f"{low:.1%} to {high:.1%}",
            ]
        )
    header = ["recipe", "runs", "iterations", "collapsed"]
    return markdown_table([*header, "rate (95 %)"], rows)


def _speed(results: dict[str, Any]) -> str:
    """The best form of each twin, by workload."""
    lines = []
    timed = {k: v for k, v in results["workloads"].items() if whole_sets(v)}
    for name, workload in timed.items():
        of = tabulate(workload)
        best = of.best_rows()
        ours, theirs = best["jax"], best["torch"]
        assert ours.claim is not None, f"{name}: no claim on {ours.variant}"
        ratio, verdict = ours.claim.ratio, ours.claim.verdict
        paces = [
            f"{_milliseconds(row)} ms ({row.variant.split()[1]})"
            for row in (ours, theirs)
        ]
        roofs = f"{ours.roof_share:.0%}, {theirs.roof_share:.0%}"
        recipe, batch = workload["recipe"], workload["batch_size"]
        title = f"{recipe}, batch {batch}"
        lines.append([title, *paces, roofs, f"{ratio:.2f}", verdict])
    header = ["recipe", "JAX's best", "PyTorch's best", "of their rooflines"]
    header += ["PyTorch / JAX (95 %)", "JAX is"]
    table = markdown_table(header, lines)
    refused = [
        f"{variant} on {name} ({reason})"
        for name, workload in results["workloads"].items()
        for variant, reason in refusals(workload).items()
    ]
    last = f" Refused: {'; '.join(refused)}." if refused else ""
    return f"{table}\n\n{_how(results)}{last}"


def _how(results: dict[str, Any]) -> str:
    plan = results["plan"]
    timed = [of for of in results["workloads"].values() if whole_sets(of)]
    fewest = min(timed, key=lambda of: len(whole_sets(of)))
    lacking = lacks_interval(fewest)
    return (
        f"{hardware(results)}; {_PRODUCTS[plan['matmul']]}; sets of processes: "
        f"{len(whole_sets(fewest))}, each of {plan['rounds']} rounds."
        + (f" {lacking}" if lacking else "")
    )


def _milliseconds(row: Row) -> str:
    pace = row.milliseconds.estimate
    return f"{pace:.2f}" if pace >= 1 else f"{pace:.3f}"


_PRODUCTS = {
    "strict": "float32",
    "tf32": "tf32, weights float32",
    "bfloat16": "bfloat16, weights float32",
}


def _seeds(results: dict[str, Any]) -> str:
    """Images a second of each twin, by how many games it trains at once."""
    (workload,) = results["workloads"].values()
    of = tabulate(workload)
    titled = [("one, its best form", of.best_rows())]
    titled += [(f"{n} at once", rows) for n, rows in of.by_games().items()]
    lines = []
    for title, rows in titled:
        speeds = [
            f"{rows[twin].images:,.0f}" if twin in rows else "refused"
            for twin in ("jax", "torch")
        ]
        lines.append([title, *speeds])
    recipe, batch = workload["recipe"], workload["batch_size"]
    header = [f"games of {recipe}, batch {batch}", "JAX, images/s in all"]
    table = markdown_table([*header, "PyTorch, images/s in all"], lines)
    return f"{table}\n\n{_how(results)}"


_TABLES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "demo": ("benchmarks/demo/demo.json", _demo),
    "ladder": ("parity_tests/report/parity.json", _ladder),
    "parity": ("parity_tests/report/parity.json", _parity),
    "study": ("benchmarks/study.json", quality.tables),
    "stability": ("benchmarks/stability.json", stability_report.tables),
    "speed": ("benchmarks/speed.json", _speed),
    "bfloat16": ("benchmarks/bfloat16.json", _speed),
    "seeds": ("benchmarks/seeds.json", _seeds),
    "gpu": ("benchmarks/gpu/tf32.json", _speed),
}
