"""The plots of a ladder's report, as inline SVG."""

from collections.abc import Callable, Mapping
from io import StringIO
from math import isfinite
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.analysis import Table, iteration_seconds

_COLORS = {"jax": "#2f8f4e", "torch": "#d97706"}
_DASHES = ("-", "--", ":", "-.", (0, (8, 2)), (0, (1, 3)), (0, (6, 1, 1, 1)))
_TEXT = "#010203"  # becomes currentColor: black on light, white on dark


def _plot(draw: Callable[[Axes], None], title: str, height: float) -> str:
    """An inline SVG in the text colour of the page."""
    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": title,
        "font.size": 12,
        **dict.fromkeys(
            (
                "text.color",
                "axes.edgecolor",
                "axes.labelcolor",
                "xtick.color",
                "ytick.color",
                "legend.labelcolor",
            ),
            _TEXT,
        ),
        "axes.facecolor": "none",
        "legend.framealpha": 0,
    }
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(4.8, height), layout="constrained")
        axis = figure.subplots()
        draw(axis)
        axis.set_title(title, fontsize=12)
        axis.grid(alpha=0.25)
        if axis.get_legend_handles_labels()[0]:
            figure.legend(loc="outside lower center", ncols=2, fontsize=11)
        file = StringIO()
        figure.savefig(file, format="svg", transparent=True)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace(_TEXT, "currentColor")
    return f'<figure role="img" aria-label="{title}">{svg}</figure>'


def _color(variant: str) -> str:
    return _COLORS[variant.partition(" ")[0]]


def _styles(variants: list[str]) -> dict[str, dict[str, Any]]:
    """A twin's colour, and other dashes for each of its variants."""
    found: dict[str, dict[str, Any]] = {}
    for twin in _COLORS:
        of_twin = [v for v in sorted(variants) if v.partition(" ")[0] == twin]
        for i, name in enumerate(of_twin):
            dashes = _DASHES[i % len(_DASHES)]
            found[name] = {"color": _color(name), "linestyle": dashes}
    return found


def times(of: Table) -> str:
    """Times of all variants with their intervals, and both rooflines."""

    def draw(axis: Axes) -> None:
        rows = of.rows[::-1]
        for i, row in enumerate(rows):
            middle, low, high = row.milliseconds
            is_bounded = isfinite(high)
            axis.errorbar(
                middle,
                i,
                xerr=[[middle - low], [high - middle]] if is_bounded else None,
                fmt="o",
                capsize=3,
                color=_color(row.variant),
            )
        for twin, row in of.best_rows().items():
            axis.axvline(
                1000 * row.roof.seconds,
                color=_COLORS[twin],
                linestyle="--",
                label=f"roofline of {twin}",
            )
        axis.set_yticks(range(len(rows)), [row.variant for row in rows])
        axis.set_xlim(left=0)
        axis.set_xlabel("ms for an iteration of one game")

    return _plot(draw, "times and 95 % intervals", 1.4 + 0.3 * len(of.rows))


def roofline(tables: Mapping[str, Table]) -> str:
    """FLOP/s over FLOP per byte of each twin's best, under its roofline."""

    def draw(axis: Axes) -> None:
        markers = dict(zip(tables, "osD^vPX*", strict=False))
        rows = {name: of.best_rows() for name, of in tables.items()}
        for twin, color in _COLORS.items():
            of_twin = {n: row[twin] for n, row in rows.items() if twin in row}
            for name, row in of_twin.items():
                roof = row.roof
                axis.loglog(
                    roof.flops / roof.bytes,
                    row.rate,
                    markers.get(name, "o"),
                    color=color,
                    label=f"{name}, {row.variant}",
                )
            if of_twin:
                roof = next(iter(of_twin.values())).roof
                x = np.logspace(0, 3.5, 100)
                y = 1 / (1 / roof.peak + 1 / (x * roof.bandwidth))
                axis.loglog(x, y, color=color, label=f"roofline of {twin}")
        axis.set_xlabel("FLOP of matmuls per byte of optimizers' traffic")
        axis.set_ylabel("FLOP/s")

    return _plot(draw, "the best of each twin under its roofline", 4.4)


def over_seeds(of: Table) -> list[str]:
    """images/s over the number of games that are trained together."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for count, rows in of.by_games().items():
        for twin, row in rows.items():
            lines.setdefault(twin, []).append((count, row.images))
    if not any(len(points) > 1 for points in lines.values()):
        return []

    def draw(axis: Axes) -> None:
        for twin, points in lines.items():
            x, y = zip(*points, strict=True)
            axis.loglog(x, y, "o-", color=_COLORS[twin], label=twin)
        for twin, row in of.best_rows().items():
            axis.axhline(
                row.images,
                color=_COLORS[twin],
                linestyle=":",
                label=f"one game, {row.variant}",
            )
        axis.set_xlabel("games together")
        axis.set_ylabel("images/s of all games")

    return [_plot(draw, "many seeds together", 4)]


def blocks(workload: Mapping[str, Any]) -> str:
    """Every block of every variant."""
    seconds = iteration_seconds(workload)
    styles = _styles(list(seconds))

    def draw(axis: Axes) -> None:
        for name, of_variant in seconds.items():
            axis.plot(
                1000 * of_variant.ravel(),
                **styles[name],
                label=name,
                marker=".",
                lw=0.8,
            )
        axis.set_yscale("log")
        axis.set_xlabel("round, all repetitions")
        axis.set_ylabel("ms an iteration")

    return _plot(draw, "every block", 3.4 + 0.1 * len(seconds))


def break_even(of: Table) -> str:
    """Seconds over iterations, compilation included."""
    styles = _styles([row.variant for row in of.rows])

    def draw(axis: Axes) -> None:
        iterations = np.logspace(1, 6, 100)
        for row in of.rows:
            total = row.cold + iterations * row.milliseconds.estimate / 1000
            style = styles[row.variant]
            axis.loglog(iterations, total, **style, label=row.variant, lw=1.2)
        axis.set_xlabel("iterations")
        axis.set_ylabel("seconds, compilation included")

    return _plot(draw, "cumulative time", 3.4 + 0.1 * len(of.rows))


def over_batches(
    workloads: Mapping[str, Any], tables: Mapping[str, Table]
) -> str:
    """images/s over the batch size; empty if no recipe has two."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for name, of in tables.items():
        batch = workloads[name]["batch_size"]
        for twin, row in of.best_rows().items():
            key = f"{twin}'s best, {workloads[name]['recipe']}"
            lines.setdefault(key, []).append((batch, row.images))

    def draw(axis: Axes) -> None:
        styles = dict.fromkeys(key.partition(", ")[2] for key in lines)
        for style, recipe in zip("-:", styles, strict=False):
            styles[recipe] = style
        for key, points in lines.items():
            x, y = zip(*sorted(points), strict=True)
            axis.loglog(
                x,
                y,
                "o",
                color=_COLORS[key.partition("'")[0]],
                linestyle=styles[key.partition(", ")[2]] or "--",
                label=key,
            )
        axis.set_xlabel("batch size")
        axis.set_ylabel("images/s")

    if not any(len(points) > 1 for points in lines.values()):
        return ""
    return _plot(draw, "images/s over batch size", 4)
