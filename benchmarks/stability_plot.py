"""D(x) and D(G(z)) of every run of a stability study, drawn."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmarks.stability import TWINS, diverged
from experiment.figures import BLUE, GREY, ORANGE

Run = Mapping[str, Any]

_CURVES = {
    "real_probability": ("D(x)", BLUE),
    "fake_probability": ("D(G(z))", ORANGE),
}
_SUCCEEDED: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.5}
# In front of all others.
_COLLAPSED: dict[str, Any] = {
    "color": "black",
    "linestyle": "--",
    "linewidth": 1.2,
    "zorder": 3,
}


def describe_collapses(runs: Sequence[Run]) -> str:
    """How many runs collapsed, and how many of them by diverging."""
    collapsed = sum(bool(run["collapse"]) for run in runs)
    by_diverging = sum(map(diverged, runs))
    diverging = f" ({by_diverging} diverged)" if by_diverging else ""
    return f"{collapsed}{diverging}"


def plot(path: Path, results: Mapping[str, Any]) -> None:
    """Every run's D(x) and D(G(z)) over its iterations, a panel for a twin.

    Runs that collapsed, or diverged, are black and dashed.
    """
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    panels = figure.subplots(1, len(TWINS), sharex=True, sharey=True)
    for axis, twin in zip(panels, TWINS, strict=True):
        runs = [run for run in results["runs"] if run["twin"] == twin]
        for run in runs:
            for name, (_, color) in _CURVES.items():
                style = (
                    _COLLAPSED
                    if run["collapse"]
                    else _SUCCEEDED | {"color": color}
                )
                course = run["course"]
                axis.plot(course["step"], course[name], **style)
        axis.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
        axis.set_ylim(0, 1)
        axis.set_xlabel("iteration")
        axis.set_title(
            f"{twin}, runs: {len(runs)}, collapsed: {describe_collapses(runs)}"
        )
    handles = [
        Line2D([], [], color=color, label=label)
        for label, color in _CURVES.values()
    ]
    if any(run["collapse"] for run in results["runs"]):
        handles.append(
            Line2D([], [], label="collapsed or diverged", **_COLLAPSED)
        )
    panels[0].set_ylabel("mean probability")
    figure.legend(handles=handles, loc="outside right center")
    figure.suptitle(f"recipe {results['recipe']}")
    figure.savefig(path, dpi=100)
