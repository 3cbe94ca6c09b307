"""A quick comparison: the twins' best variants on a few recipes.

It is the ladder with one process repetition and few, short rounds. It cannot
know how much processes differ, so it gives medians and their ratio, and
neither an interval nor a verdict.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks import background
from benchmarks.analysis import background_load, iteration_seconds
from benchmarks.plan import HEADLINE, Plan
from benchmarks.results import exclusions, hardware, whole_repetitions

WORKLOADS = ("lecture", "mlp", "dcgan")
MINUTES = 5
_TWINS = {"jax": "JAX", "torch": "PyTorch"}
# What a GPU is bought for, and the README's table has.
_MATMUL = {"cpu": "strict", "gpu": "tf32"}
_ROUNDS, _BLOCK_SECONDS = 5, 0.2


def plan(device: str, minutes: float) -> Plan:
    """What to measure on a device.

    Raises:
        InputError: the minutes are not a positive number.
    """
    return Plan(
        device,
        _MATMUL[device],
        WORKLOADS,
        HEADLINE[device],
        _ROUNDS,
        1,
        _BLOCK_SECONDS,
        minutes,
    )


def images_per_second(workload: Mapping[str, Any]) -> dict[str, float]:
    """By twin, from the median block of its variant, if it was timed.

    Images are the real ones that D consumed.
    """
    return {
        name.partition(" ")[0]: workload["batch_size"]
        / float(np.median(blocks))
        for name, blocks in iteration_seconds(workload).items()
    }


def table(results: Mapping[str, Any]) -> Table:
    """A row for each recipe: images/s of both twins, and their ratio."""
    variants = {v.partition(" ")[0]: v for v in results["plan"]["variants"]}
    rows = Table("images/s", box=None)
    for twin, name in _TWINS.items():
        loop = variants[twin].partition(" ")[2]
        rows.add_column(f"{name} ({loop})", justify="right")
    rows.add_column("JAX / PyTorch", justify="right")
    for workload in results["workloads"].values():
        speeds = images_per_second(workload)
        cells = [_cell(workload, twin, variants[twin]) for twin in _TWINS]
        ratio = f"{_ratio(speeds):.2f}" if len(speeds) == 2 else ""
        title = f"{workload['recipe']}, batch {workload['batch_size']}"
        rows.add_row(title, *cells, ratio)
    return rows


def _cell(workload: Mapping[str, Any], twin: str, variant: str) -> str:
    speeds = images_per_second(workload)
    if twin in speeds:
        return f"{speeds[twin]:,.0f}"
    return "excluded" if variant in workload["refused"] else "not timed"


def _ratio(speeds: Mapping[str, float]) -> float:
    return speeds["jax"] / speeds["torch"]


def notes(results: Mapping[str, Any]) -> list[str]:
    """Machine, versions and settings of the table; what disturbed it."""
    plan = results["plan"]
    lines = [
        f"{hardware(results)}; matmuls {plan['matmul']}, weights float32; one "
        f"process repetition, {plan['rounds']} rounds: medians, no verdict."
    ]
    for variant in plan["variants"]:
        settings = _settings(results, variant)
        if settings:
            shown = ", ".join(f"{k} {v}" for k, v in settings.items())
            lines.append(f"Settings of {variant}: {shown}.")
    unsettled = []
    for name, workload in results["workloads"].items():
        for variant, reason in exclusions(workload).items():
            lines.append(f"{variant} is excluded on {name}: {reason}.")
        for repetition in whole_repetitions(workload):
            unsettled += [
                f"{variant} on {name}"
                for variant, values in repetition["variants"].items()
                if not values["settled"]
            ]
    if unsettled:
        names = ", ".join(unsettled)
        lines.append(f"Times varied by more than 2 % at first: {names}.")
    if load := _background(results):
        lines.append(f"{load.capitalize()}: measure again on an idle machine.")
    return lines


def _background(results: Mapping[str, Any]) -> str:
    """The background load, if it was high."""
    load = max(map(background_load, results["workloads"].values()), default=0.0)
    return f"background load {load:.0%}" if load > background.MOST else ""


def _settings(results: Mapping[str, Any], variant: str) -> dict[str, Any]:
    """Settings of a variant, from the first recipe; all have the same."""
    for workload in results["workloads"].values():
        for repetition in whole_repetitions(workload):
            if variant in repetition["variants"]:
                return repetition["variants"][variant]["settings"]
    return {}


def line(results: Mapping[str, Any]) -> str:
    """Everything in one line of plain text."""
    plan = results["plan"]
    compared = []
    for name, workload in results["workloads"].items():
        speeds = images_per_second(workload)
        if len(speeds) == 2:
            pair = " / ".join(f"{speeds[twin]:,.0f}" for twin in _TWINS)
            compared.append(f"{name} {pair} = {_ratio(speeds):.2f}")
    variants = " / ".join(plan["variants"])
    parts = [
        f"benchmarks quick, images/s of {variants}: "
        f"{', '.join(compared) or 'none'}",
        plan["matmul"],
        hardware(results),
        _background(results),
    ]
    return "; ".join(part for part in parts if part)
