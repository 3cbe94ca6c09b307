"""The report of parity: measurements, tables, the drift plot, the traps.

``python -m parity_tests report`` runs every test level and writes, into one
folder, ``parity.json`` and what is made from it: ``REPORT.md``,
``report.html``, ``drift.png`` and ``TRAPS.md``, the catalogue of silent
differences between the frameworks. ``python -m parity_tests devices`` adds
``devices.json``, whose table is part of the page.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from experiment.errors import InputError
from experiment.levels import judged, level_rows
from experiment.machine import describe_machine
from experiment.pages import describe, html_page, markdown_table
from parity_tests.devices_page import section
from parity_tests.devices_table import FILE
from parity_tests.drift import measure_drift, plot_drift
from parity_tests.faults import FAULTS, Fault
from parity_tests.pair import check_twins, plural
from parity_tests.small import small_config, small_data

SCHEMA, VERSION = "gan-parity", 1

_BOUND = 1e-12
_CAUGHT = "parity_tests.test_faults::test_planted_fault_is_caught"
_DRIFT_STEPS = 300
_DRIFT_SEEDS = range(7)
_FAULT_STEPS = 20


def report(folder: Path) -> int:
    """Runs every test level and writes the report; returns pytest's status.

    Raises:
        InputError: what the tests need is not installed.
    """
    try:
        for name in ("pytest", "hypothesis"):
            import_module(name)
    except ImportError as error:
        raise InputError(
            f"the report runs the tests, and {name} is not installed: "
            "pip install -e '.[dev]'"
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    status, measured = _climb()
    results = {
        "schema": SCHEMA,
        "version": VERSION,
        "machine": describe_machine(),
        "measured": measured,
        "faults": [_measure(fault) for fault in FAULTS],
        "drift": measure_drift(_DRIFT_SEEDS, _DRIFT_STEPS),
    }
    path = folder / "parity.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    write(folder, results)
    return status


def _climb() -> tuple[int, dict[str, Any]]:
    """Runs every test, slow ones too; the worst status, and what it measured.

    Two processes of one thread each: the runs are many and small.
    """
    torch.set_num_threads(1)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-m", "slow or not slow"]
    here = Path(__file__).parent
    long = [str(here / f"test_{name}.py") for name in ("steps", "long")]
    halves = long, [str(here), *(f"--ignore={path}" for path in long)]
    measured: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        running = []
        for i, half in enumerate(halves):
            record = Path(scratch) / f"{i}.json"
            arguments = [*command, f"--record={record}", *half]
            running.append(
                (subprocess.Popen(arguments, env=environment), record)
            )
        status = max([process.wait() for process, _ in running])
        for _, record in running:
            measured |= json.loads(record.read_text())
    return status, measured


def write_again(folder: Path) -> None:
    """Makes the pages from what a folder has, if it has ``parity.json``."""
    path = folder / "parity.json"
    if path.exists():
        write(folder, json.loads(path.read_text()))


def write(folder: Path, results: Mapping[str, Any]) -> None:
    """Makes the pages and the plot from the measurements."""
    plot_drift(folder / "drift.png", results["drift"])
    table = folder / FILE
    of_devices: list[str] = []
    if table.exists():
        of_devices = section(json.loads(table.read_text()))
    page = _page(results, of_devices)
    (folder / "REPORT.md").write_text(page)
    (folder / "TRAPS.md").write_text(_traps(results))
    page = html_page("Parity of the twins", page, folder)
    (folder / "report.html").write_text(page)


def _measure(fault: Fault) -> dict[str, Any]:
    """Where the suite first sees a fault, and how far it drives the twins."""
    config = small_config(**fault.config)
    with fault.planted():
        result = check_twins(config, small_data(), _FAULT_STEPS)
    described = {
        "name": fault.name,
        "group": fault.group,
        "cure": fault.fix,
        "equivalent": fault.equivalent,
    }
    if result.first is None:
        return described
    entry = result.first.entry
    return {
        **described,
        "iteration": entry.step,
        "phase": result.first.phase,
        "kind": plural(entry.kind),
        "error": entry.absolute,
        "tensor": entry.name,
        "last": result.growth[-1],
    }


def _page(results: Mapping[str, Any], of_devices: list[str]) -> str:
    real = [f for f in results["faults"] if not f["equivalent"]]
    faults = [
        [
            f["name"],
            str(f.get("iteration", "")),
            f.get("phase", "never"),
            f.get("kind", ""),
            f"{f['error']:.1e}" if "error" in f else "",
            _times_the_bound(f, results["measured"]),
        ]
        for f in real
    ]
    details = [
        [test.split("::")[1], kind, f"{error:.1e}", f"{bound:.0e}"]
        for test, gaps in results["measured"].items()
        if "test_faults" not in test
        for kind, (error, bound) in judged(gaps).items()
    ]
    return "\n".join(
        [
            "# Parity of the twins",
            "",
            f"{describe(results['machine'])}.",
            "",
            "## Test levels",
            "",
            markdown_table(
                ["test level", "comparisons", "nearest to its bound", "bound"],
                level_rows(results["measured"]),
            ),
            "",
            "Long runs use momentum. Under Adam, as shipped, they diverge, "
            "and further than PyTorch diverges from itself after one ulp: "
            "Adam divides rounding by rounding wherever a pixel is always "
            "black. test_long.py has the figures.",
            "",
            *of_devices,
            "## Drift",
            "",
            "![difference over iterations](drift.png)",
            "",
            "Thin lines are seeds, the bold line is their median. In float64 "
            "the twins stay at rounding. In float32 they do too, until "
            "rounding decides on which side of its kink a unit lands: that "
            "can move a weight by a whole step of Adam, and from there the "
            "runs diverge. A single thin line far above the median is a seed "
            "that met such a unit early; which seed that is, is chance. "
            "PyTorch against itself shows it too: it is the largest of six "
            "controls, every weight moved by one ulp, five times, and "
            "reversed minibatches. A seed's two curves in float32 often rise "
            "together, for both compare with the same run of PyTorch.",
            "",
            f"## {len(real)} injected faults",
            "",
            "Where the comparison first sees each, and by how much; then the "
            "largest difference of the run in which the suite catches it, in "
            f"multiples of the bound of {_BOUND:.0e}. "
            f"{len(results['faults']) - len(real)} more change "
            "nothing, which is verified too.",
            "",
            markdown_table(
                [
                    "fault",
                    "iteration",
                    "phase",
                    "first seen in",
                    "error",
                    "times the bound",
                ],
                faults,
            ),
            "",
            "## Every comparison",
            "",
            markdown_table(
                ["test", "of", "largest difference", "bound"], details
            ),
            "",
        ]
    )


def _times_the_bound(
    fault: Mapping[str, Any], measured: Mapping[str, Any]
) -> str:
    gaps = measured[f"{_CAUGHT}[{fault['name']}]"]
    return f"{max(g['error'] for g in gaps.values()) / _BOUND:.0e}"


def _traps(results: Mapping[str, Any]) -> str:
    lines = [
        "# Traps between PyTorch and JAX, Flax and Optax",
        "",
        "Silent differences, and slips of a port, that change a GAN. Each "
        "was injected into the PyTorch twin of a small game in float64; the "
        "table says where the comparison first saw it and how far it had "
        f"driven the twins apart after {_FAULT_STEPS} iterations. Correct "
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
            "fix",
        ]
        lines += [
            f"## {group.capitalize()}",
            "",
            markdown_table(header, rows),
            "",
        ]
    rows = [
        [f["name"], f["equivalent"]]
        for f in results["faults"]
        if f["equivalent"]
    ]
    lines += [
        "## Harmless differences",
        "",
        markdown_table(["it", "why"], rows),
        "",
    ]
    return "\n".join(lines)
