"""The report of the proof: measurements, tables, the drift plot, the traps.

``python -m parity_tests report`` climbs the whole ladder and writes, into one
folder, ``parity.json`` and what is made from it: ``REPORT.md``,
``report.html``, ``drift.png`` and ``TRAPS.md``, the catalogue of silent
differences between the frameworks.
"""

import base64
import html
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiment.data import load
from experiment.machine import describe_machine
from experiment.recipes import recipe
from parity_tests.control import moved_by_one_ulp, reference_run
from parity_tests.diagnose import diagnose
from parity_tests.faults import FAULTS, Fault
from parity_tests.pair import Pair
from parity_tests.small import small_config, small_data

SCHEMA, VERSION = "gan-parity", 1
FOLDER = Path(__file__).parent / "report"

# The rungs in order: the file, what it compares, and its bound.
RUNGS = {
    "test_layers": (
        "every layer, activation, optimizer and schedule: forward and VJP",
        "1e-13",
    ),
    "test_losses": ("losses and their gradients, to logits of 700", "1e-13"),
    "test_forward": ("both networks, in training and evaluation", "1e-13"),
    "test_steps": (
        "100 iterations, every recipe, loss, optimizer and k",
        "1e-12",
    ),
    "test_trajectory": (
        "recorded trajectories, three implementations",
        "1e-12",
    ),
    "test_fast_paths": ("faster forms of the step", "1e-12"),
    "test_long": ("long runs", "see the file"),
    "test_float32": (
        "float32: lockstep, and against a control",
        "see the file",
    ),
}
_DRIFT_STEPS = 300
_FAULT_STEPS = 20


def report(folder: Path) -> int:
    """Climbs the ladder and writes the report; returns pytest's status."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        record = Path(scratch) / "measured.json"
        here = Path(__file__).parent
        files = [str(here / f"{name}.py") for name in (*RUNGS, "test_faults")]
        command = [sys.executable, "-m", "pytest", "-m", "slow or not slow"]
        status = subprocess.call([*command, f"--record={record}", *files])
        measured = json.loads(record.read_text())
    results = {
        "schema": SCHEMA,
        "version": VERSION,
        "machine": describe_machine(),
        "measured": measured,
        "faults": [_measure(fault) for fault in FAULTS],
        "drift": _drift(),
    }
    path = folder / "parity.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    write(folder, results)
    return status


def write(folder: Path, results: Mapping[str, Any]) -> None:
    """Makes the pages and the plot from the measurements."""
    _plot(folder / "drift.png", results["drift"])
    page = _page(results)
    (folder / "REPORT.md").write_text(page)
    (folder / "TRAPS.md").write_text(_traps(results))
    (folder / "report.html").write_text(_html(page, folder / "drift.png"))


def _measure(fault: Fault) -> dict[str, Any]:
    """Where the suite first sees a fault, and how far it drives the twins."""
    config = small_config(**fault.config)
    with pytest.MonkeyPatch.context() as patch:
        fault.plant(patch)
        found = diagnose(config, small_data(), _FAULT_STEPS)
    described = {
        "name": fault.name,
        "group": fault.group,
        "cure": fault.cure,
        "equivalent": fault.equivalent,
    }
    if found is None:
        return described
    return {
        **described,
        "iteration": found.iteration,
        "phase": found.phase,
        "kind": found.kind,
        "error": found.gap.error,
        "tensor": found.gap.name,
        "last": found.growth[-1],
    }


def _drift() -> dict[str, list[float]]:
    """The gap of the losses at every iteration, in three comparisons.

    The recipe lecture, from one set of weights: JAX against PyTorch in
    float64 and in float32, and PyTorch against itself after every weight
    moved by one ulp, in float32.
    """
    curves = {}
    for precision in ("float64", "float32"):
        config = recipe("lecture", precision=precision)
        pair = Pair(config, load(config))
        curves[f"JAX against PyTorch, {precision}"] = [
            pair.step(number).error for number in range(_DRIFT_STEPS)
        ]
    config = replace(config, precision="float32")
    data = load(config)
    import torch_ref

    state = torch_ref.to_numpy(torch_ref.create(config, data))
    runs = [
        reference_run(config, data, start, _DRIFT_STEPS)[0]
        for start in (state, moved_by_one_ulp(state, 0))
    ]
    gaps = [np.abs(runs[0][name] - runs[1][name]) for name in runs[0]]
    curves["PyTorch against itself, one ulp, float32"] = [
        float(value) for value in np.max(gaps, axis=0)
    ]
    return curves


def _plot(path: Path, drift: Mapping[str, list[float]]) -> None:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    styles = {"color": ["#2f8f4e", "#1f5fa8", "#d97706"]}
    for color, (name, errors) in zip(
        styles["color"], drift.items(), strict=True
    ):
        shown = np.maximum(errors, 1e-17)
        steps = np.arange(1, len(shown) + 1)
        axis.semilogy(steps, shown, label=name, color=color, linewidth=1)
    axis.set_xlabel("iteration of Algorithm 1, recipe lecture")
    axis.set_ylabel("largest difference of losses, D(x), D(G(z))")
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=100)


def rung_rows(measured: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    """A row a rung: what it compares, comparisons, bound, worst error."""
    rows = []
    for name, (what, bound) in RUNGS.items():
        gaps = [g for test, g in measured.items() if f".{name}::" in test]
        worst = max((max(g.values()) for g in gaps), default=None)
        error = "not run" if worst is None else f"{worst:.1e}"
        rows.append([what, str(len(gaps)), bound, error])
    return rows


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _page(results: Mapping[str, Any]) -> str:
    machine = results["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
    real = [f for f in results["faults"] if not f["equivalent"]]
    faults = [
        [
            f["name"],
            str(f.get("iteration", "")),
            f.get("phase", "never"),
            f.get("kind", ""),
            f"{f['error']:.1e}" if "error" in f else "",
        ]
        for f in real
    ]
    details = [
        [test.split("::")[1], kind, f"{error:.1e}"]
        for test, gaps in results["measured"].items()
        if "test_faults" not in test
        for kind, error in gaps.items()
    ]
    return "\n".join(
        [
            "# Parity of the twins",
            "",
            f"{machine['cpu']}, {machine['cores']} cores; {versions}.",
            "",
            "## The ladder",
            "",
            _table(
                ["rung", "comparisons", "bound", "largest difference"],
                rung_rows(results["measured"]),
            ),
            "",
            "## Drift",
            "",
            "![difference over iterations](drift.png)",
            "",
            "In float64 the twins stay at rounding. In float32 they drift "
            "apart as PyTorch drifts from itself after one ulp.",
            "",
            f"## {len(real)} planted faults",
            "",
            "Where the comparison first sees each, and by how much; the "
            "bound is 1e-12.",
            "",
            _table(
                ["fault", "iteration", "phase", "first seen in", "error"],
                faults,
            ),
            "",
            "## Every comparison",
            "",
            _table(["test", "of", "largest difference"], details),
            "",
        ]
    )


def _traps(results: Mapping[str, Any]) -> str:
    lines = [
        "# Traps between PyTorch and JAX, Flax and Optax",
        "",
        "Silent differences, and slips of a port, that change a GAN. Each "
        "was planted in the PyTorch twin of a small game in float64; the "
        "table says where the comparison first saw it and how far it had "
        f"driven the twins apart after {_FAULT_STEPS} iterations. Sound "
        "twins stay below 1e-12.",
        "",
    ]
    groups = dict.fromkeys(f["group"] for f in results["faults"])
    for group in groups:
        rows = [
            [
                f["name"],
                f"{f['kind']} of iteration {f['iteration']}: {f['error']:.0e}",
                f"{f['last']:.0e}",
                f["cure"],
            ]
            for f in results["faults"]
            if f["group"] == group and not f["equivalent"]
        ]
        header = [
            "trap",
            "first seen in",
            f"after {_FAULT_STEPS} iterations",
            "what mends it",
        ]
        lines += [f"## {group.capitalize()}", "", _table(header, rows), ""]
    rows = [
        [f["name"], f["equivalent"]]
        for f in results["faults"]
        if f["equivalent"]
    ]
    lines += ["## Harmless differences", "", _table(["it", "why"], rows), ""]
    return "\n".join(lines)


def _html(page: str, plot: Path) -> str:
    """The page as one file that opens with no network."""
    picture = base64.b64encode(plot.read_bytes()).decode()
    body: list[str] = []
    rows: list[str] = []
    for line in [*page.splitlines(), ""]:
        if line.startswith("| ---"):
            continue
        if line.startswith("|"):
            cell = "td" if rows else "th"
            cells = html.escape(line.strip("| ")).split(" | ")
            rows.append(
                "<tr>"
                + "".join(f"<{cell}>{c}</{cell}>" for c in cells)
                + "</tr>"
            )
            continue
        if rows:
            body.append(f"<table>{''.join(rows)}</table>")
            rows = []
        if line.startswith("!["):
            body.append(
                f'<img alt="drift" src="data:image/png;base64,{picture}">'
            )
        elif line.startswith("#"):
            level = len(line) - len(line.lstrip("#"))
            body.append(
                f"<h{level}>{html.escape(line.lstrip('# '))}</h{level}>"
            )
        elif line:
            body.append(f"<p>{html.escape(line)}</p>")
    return (
        '<!doctype html><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        "<title>Parity of the twins</title><style>"
        ":root{color-scheme:light dark}"
        "body{font:16px/1.5 system-ui;max-width:60rem;margin:auto;padding:1rem}"
        "table{border-collapse:collapse;display:block;overflow-x:auto}"
        "th,td{border:1px solid #8888;padding:.2rem .5rem;text-align:left}"
        "img{max-width:100%;background:#fff}</style>\n" + "\n".join(body) + "\n"
    )
