"""The report of a ladder: Markdown, and one page that needs no network."""

import html
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from math import inf, isfinite
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.results import (
    BUSY,
    Row,
    Table,
    hardware,
    lacks_interval,
    paces,
    refusals,
    tabulate,
    whole_sets,
)
from experiment.pages import html_page, markdown_table

_COLORS = {"jax": "#2f8f4e", "torch": "#d97706"}
_DASHES = ("-", "--", ":", "-.", (0, (8, 2)), (0, (1, 3)), (0, (6, 1, 1, 1)))
_TEXT = "#010203"  # becomes currentColor: black on light, white on dark
_HEADER = [
    "variant",
    "ms an iteration (95 %)",
    "images/s",
    "of GEMM peak, roofline",
    "memory",
    "first call, cached",
    "overtakes after",
    "against PyTorch's best (95 %)",
    "verdict",
]
_LEGEND = (
    "Of GEMM peak: the rate of the products over that of one large product. Of "
    "roofline: the time of the products at that rate and of the optimizers' "
    "memory at that of a large sum, over the time. First call: compilation, "
    "and again from its cache in a later process. Overtakes after: the "
    "iterations after which it is ahead of the variant that starts fastest. "
    "Against PyTorch's best: its time over this one's, in each set the median "
    "over the rounds, of all processes of both forms. Times and ratios are "
    "geometric means over the sets; an interval is Student's t over them and "
    "holds for this machine in this hour. Verdicts are corrected for their "
    "number (Holm); a tie is a difference that is not shown. Unsettled: it was "
    "not steady to 2 % when its rounds began."
)
_ENERGY = "J for 1,000 images"  # the last column, where it was counted


def write(folder: Path, results: Mapping[str, Any]) -> None:
    """Writes REPORT.md and report.html."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        name: tabulate(workload)
        for name, workload in results["workloads"].items()
        if whole_sets(workload)
    }
    head = [html.escape(line, quote=False) for line in _head(results)]
    text = ["# The ladder", *head]
    page = text.copy()
    for name, workload in results["workloads"].items():
        if name not in tables:
            section = [
                f"## {_title(name, workload)}",
                _bullets([*_refusals(workload), "Nothing was timed."]),
            ]
            text += section
            page += section
            continue
        of = tables[name]
        header, rows = _HEADER, [_cells(row) for row in of.rows]
        if any(row.joules is not None for row in of.rows):
            header = [*header, _ENERGY]
            for cells, row in zip(rows, of.rows, strict=True):
                cells.append("" if row.joules is None else f"{row.joules:.2f}")
        section = [
            f"## {_title(name, workload)}",
            markdown_table(header, rows),
            _bullets(_notes(workload, of)),
        ]
        text += section
        page += [*section, _ladder(of), _blocks(workload), _break_even(of)]
        page += _over_seeds(of)
    if tables:
        page += ["## The roofline", _roofline(tables)]
    if over := _over_batches(results["workloads"], tables):
        page += ["## images/s over batch size", over]
    (folder / "REPORT.md").write_text("\n\n".join(text) + "\n")
    shown = html_page("The ladder", "\n\n".join(page), folder)
    (folder / "report.html").write_text(shown)


def _bullets(notes: Sequence[str]) -> str:
    return "\n".join(f"- {html.escape(note, quote=False)}" for note in notes)


def _title(name: str, workload: Mapping[str, Any]) -> str:
    recipe = name.partition(":")[0]
    return f"{recipe}, batch {workload['batch_size']}"


def _head(results: Mapping[str, Any]) -> list[str]:
    plan = results["plan"]
    lines = [
        f"{hardware(results)}; float32 weights.",
        f"Device {plan['device']}, products {plan['matmul']}. A fresh process "
        f"for each variant; sets: {plan['sets']}, of {plan['rounds']} rounds; "
        "every round asks all for a block in a new random order.",
    ]
    lines.append(_LEGEND)
    if results["failed"]:
        lines.append(f"Incomplete: {results['failed']}.")
    elif not results["complete"]:
        lines.append("Incomplete: stopped before its last set.")
    return lines


def _cells(row: Row) -> list[str]:
    claim = row.claim
    again = "" if row.cached is None else f", {row.cached:.1f}"
    after = f"{row.break_even:,.0f}"
    after = {0: "at once", inf: "never"}.get(row.break_even, after)
    if row.variant.endswith(" again"):  # of itself it says nothing
        after = ""
    against = verdict = ""
    if claim:
        against, verdict = f"{claim.ratio:.2f}", claim.verdict
    remarks = [] if row.settled else ["unsettled"]
    if row.graph_breaks:
        remarks.append(f"{row.graph_breaks} graph breaks")
    return [
        row.variant + (f" ({', '.join(remarks)})" if remarks else ""),
        f"{row.milliseconds:.3f}",
        f"{row.images:,.0f}",
        f"{row.rate / row.roof.peak:.0%}, {row.roof_share:.0%}",
        f"{row.peak_bytes / 2**20:,.0f} MiB",
        f"{row.first:.1f}{again} s",
        after,
        against,
        verdict,
    ]


def _refusals(workload: Mapping[str, Any]) -> list[str]:
    return [
        f"{name} has no number: {reason}."
        for name, reason in refusals(workload).items()
    ]


def _notes(workload: Mapping[str, Any], of: Table) -> list[str]:
    notes = _refusals(workload)
    if why := lacks_interval(workload):
        notes.append(why)
    if of.floor is None:
        notes.append("No variant was entered twice: there is no verdict.")
    else:
        notes.append(
            "Noise floor (A/A): a form that was entered again differs from "
            f"itself by a ratio of {of.floor:.3f}; nothing within that is "
            "called faster or slower."
        )
    for twin, row in of.best_rows().items():
        roof = row.roof
        notes.append(
            f"Roofline of {twin}: {roof.flops / 1e9:.3g} GFLOP at "
            f"{roof.peak / 1e9:,.0f} GFLOP/s and {roof.bytes / 1e6:.3g} MB of "
            f"optimizers' memory at {roof.bandwidth / 1e9:,.0f} GB/s make "
            f"{1000 * roof.seconds:.3g} ms."
        )
        settings = whole_sets(workload)[0]["variants"][row.variant]["settings"]
        shown = ", ".join(f"{name} {value}" for name, value in settings.items())
        notes.append(f"Settings of {twin}: {shown or 'none'}.")
    if of.busy > BUSY:
        notes.append(f"The machine was busy: others had {of.busy:.0%} of it.")
    forms = {row.variant.split(" ")[1] for row in of.rows}
    if "device" in forms:
        notes.append("device draws its batches too; the others find them.")
    if "tutorial" in forms:
        notes.append("tutorial is context, not a measure of its framework.")
    return notes


def _plot(draw: Callable[[Axes], None], title: str, height: float) -> str:
    """An inline SVG in the page's own text colour."""
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
    """A twin's colour, and dashes of its own for each of its variants."""
    found: dict[str, dict[str, Any]] = {}
    for twin in _COLORS:
        mine = [v for v in sorted(variants) if v.partition(" ")[0] == twin]
        for i, name in enumerate(mine):
            dashes = _DASHES[i % len(_DASHES)]
            found[name] = {"color": _color(name), "linestyle": dashes}
    return found


def _ladder(of: Table) -> str:
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


def _roofline(tables: Mapping[str, Table]) -> str:
    """FLOP/s of each twin's best over FLOP for a byte, under its roof."""

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
                axis.loglog(x, y, color=color, label=f"roof of {twin}")
        axis.set_xlabel("FLOP of products for a byte of optimizers' memory")
        axis.set_ylabel("FLOP/s")

    return _plot(draw, "the best of each twin under its roof", 4.4)


def _over_seeds(of: Table) -> list[str]:
    """Plots over the number of games that are trained at once."""
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
        axis.set_xlabel("games at once")
        axis.set_ylabel("images/s in all")

    return [_plot(draw, "many seeds at once", 4)]


def _blocks(workload: Mapping[str, Any]) -> str:
    of = paces(workload)
    styles = _styles(list(of))

    def draw(axis: Axes) -> None:
        for name, sets in of.items():
            axis.plot(
                1000 * sets.ravel(),
                **styles[name],
                label=name,
                marker=".",
                lw=0.8,
            )
        axis.set_yscale("log")
        axis.set_xlabel("round, all sets")
        axis.set_ylabel("ms an iteration")

    return _plot(draw, "every block", 3.4 + 0.1 * len(of))


def _break_even(of: Table) -> str:
    styles = _styles([row.variant for row in of.rows])

    def draw(axis: Axes) -> None:
        iterations = np.logspace(1, 6, 100)
        for row in of.rows:
            total = row.first + iterations * row.milliseconds.estimate / 1000
            style = styles[row.variant]
            axis.loglog(iterations, total, **style, label=row.variant, lw=1.2)
        axis.set_xlabel("iterations")
        axis.set_ylabel("seconds, compilation too")

    return _plot(draw, "cumulative time", 3.4 + 0.1 * len(of.rows))


def _over_batches(
    workloads: Mapping[str, Any], tables: Mapping[str, Table]
) -> str:
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
