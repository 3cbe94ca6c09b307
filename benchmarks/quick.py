"""A quick look: the twins' best forms on a few recipes, on any machine.

It is the ladder with one set of processes and few, short rounds. What differs
between processes it cannot know: it gives medians and their ratio, and neither
an interval nor a verdict.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.plan import HEADLINE, Plan
from benchmarks.results import BUSY, hardware, paces, refusals, whole_sets

WORKLOADS = ("lecture", "mlp", "dcgan")
MINUTES = 5
_TWINS = {"jax": "JAX", "torch": "PyTorch"}
# What a GPU is bought for, and the README's table has.
_MATMUL = {"cpu": "strict", "gpu": "tf32"}
_ROUNDS, _BLOCK_SECONDS = 5, 0.2


def plan(device: str, minutes: float) -> Plan:
    """What to measure on a device.

    Raises:
        InputError: the minutes are no positive number.
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
    """By twin, from the median block of its form; of those that were timed.

    Images are the real ones that D consumed.
    """
    return {
        name.partition(" ")[0]: workload["batch_size"]
        / float(np.median(np.array(sets)))
        for name, sets in paces(workload).items()
    }


def table(results: Mapping[str, Any]) -> Table:
    """A row for each recipe: images/s of both twins, and their ratio."""
    forms = {v.partition(" ")[0]: v for v in results["plan"]["variants"]}
    found = Table("images/s", box=None)
    for twin, name in _TWINS.items():
        form = forms[twin].partition(" ")[2]
        found.add_column(f"{name} ({form})", justify="right")
    found.add_column("JAX / PyTorch", justify="right")
    for workload in results["workloads"].values():
        speeds = images_per_second(workload)
        cells = [_cell(workload, twin, forms[twin]) for twin in _TWINS]
        ratio = f"{_ratio(speeds):.2f}" if len(speeds) == 2 else ""
        title = f"{workload['recipe']}, batch {workload['batch_size']}"
        found.add_row(title, *cells, ratio)
    return found


def _cell(workload: Mapping[str, Any], twin: str, form: str) -> str:
    speeds = images_per_second(workload)
    if twin in speeds:
        return f"{speeds[twin]:,.0f}"
    return "refused" if form in workload["refused"] else "not timed"


def _ratio(speeds: Mapping[str, float]) -> float:
    return speeds["jax"] / speeds["torch"]


def notes(results: Mapping[str, Any]) -> list[str]:
    """What the table is of: machine, versions, settings; what disturbed it."""
    plan = results["plan"]
    lines = [
        f"{hardware(results)}; products {plan['matmul']}, weights float32; one "
        f"set of processes, {plan['rounds']} rounds: medians, no verdict."
    ]
    for variant in plan["variants"]:
        settings = _settings(results, variant)
        if settings:
            shown = ", ".join(f"{k} {v}" for k, v in settings.items())
            lines.append(f"Settings of {variant}: {shown}.")
    unsteady = []
    for name, workload in results["workloads"].items():
        for variant, reason in refusals(workload).items():
            lines.append(f"{variant} is refused on {name}: {reason}.")
        for one in whole_sets(workload):
            unsteady += [
                f"{variant} on {name}"
                for variant, values in one["variants"].items()
                if not values["settled"]
            ]
    if unsteady:
        lines.append(f"Not steady to 2 % at first: {', '.join(unsteady)}.")
    if busy := _busy(results):
        lines.append(f"{busy.capitalize()}: measure again when it is idle.")
    return lines


def _busy(results: Mapping[str, Any]) -> str:
    """That others worked on the machine, where they had much of it."""
    medians = [
        float(np.median(shares))
        for workload in results["workloads"].values()
        for one in whole_sets(workload)
        if (shares := [b for b in one["busy"] if b is not None])
    ]
    share = max(medians, default=0.0)
    return f"others had {share:.0%} of the machine" if share > BUSY else ""


def _settings(results: Mapping[str, Any], variant: str) -> dict[str, Any]:
    """Those of the first recipe; all have the same."""
    for workload in results["workloads"].values():
        for one in whole_sets(workload):
            if variant in one["variants"]:
                return one["variants"][variant]["settings"]
    return {}


def line(results: Mapping[str, Any]) -> str:
    """All of it in one line of plain text."""
    plan = results["plan"]
    found = []
    for name, workload in results["workloads"].items():
        speeds = images_per_second(workload)
        if len(speeds) == 2:
            pair = " / ".join(f"{speeds[twin]:,.0f}" for twin in _TWINS)
            found.append(f"{name} {pair} = {_ratio(speeds):.2f}")
    forms = " / ".join(plan["variants"])
    parts = [
        f"benchmarks quick, images/s of {forms}: {', '.join(found) or 'none'}",
        plan["matmul"],
        hardware(results),
        _busy(results),
    ]
    return "; ".join(part for part in parts if part)
