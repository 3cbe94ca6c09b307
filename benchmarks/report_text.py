"""The text of a ladder's report: its legend, tables and notes."""

import html
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

from benchmarks import background
from benchmarks.analysis import Row, Table
from benchmarks.results import (
    exclusions,
    hardware,
    lacks_interval,
    whole_repetitions,
)
from benchmarks.variant_names import is_duplicate, parse
from experiment.pages import markdown_table

_HEADER = [
    "variant",
    "ms an iteration (95 %)",
    "images/s",
    "of GEMM peak, roofline",
    "memory",
    "compilation, cold and warm",
    "overtakes after",
    "against PyTorch's best (95 %)",
    "verdict",
]
_LEGEND = (
    "Of GEMM peak: FLOP/s of the variant's matmuls over the measured GEMM "
    "speed. Of roofline: time of the matmuls at GEMM speed and of the "
    "optimizers at the measured memory bandwidth, over the measured time. "
    "Compilation: cold, and warm from the cache in a later process. Overtakes "
    "after: the iterations after which it is ahead of the variant that starts "
    "fastest. Against PyTorch's best: its time over this one's; in each "
    "repetition the median over the rounds, with the A/A duplicates of both. "
    "Times and ratios are geometric means over the repetitions; an interval is "
    "Student's t over them and holds for this machine in this hour. Verdicts "
    "are corrected for their number (Holm); a tie means that no difference is "
    "shown. Unsettled: its times varied by more than 2 % when its rounds began."
)
_ENERGY = "J for 1,000 images"  # the last column, where energy was counted


def bullets(notes: Sequence[str]) -> str:
    """A list in Markdown."""
    return "\n".join(f"- {html.escape(note, quote=False)}" for note in notes)


def head(results: Mapping[str, Any]) -> list[str]:
    """The paragraphs before the first workload."""
    plan = results["plan"]
    lines = [
        f"{hardware(results)}; float32 weights.",
        f"Device {plan['device']}, matmuls {plan['matmul']}. Each variant has "
        f"its own process. Process repetitions: {plan['sets']}, each of "
        f"{plan['rounds']} rounds. In every round all variants are asked for "
        "one block, in a new random order.",
        _LEGEND,
    ]
    if results["failed"]:
        lines.append(f"Incomplete: {results['failed']}.")
    elif not results["complete"]:
        lines.append("Incomplete: stopped before its last repetition.")
    return lines


def table(of: Table) -> str:
    """The rows of a workload in Markdown."""
    header, rows = _HEADER, [_cells(row) for row in of.rows]
    if any(row.joules is not None for row in of.rows):
        header = [*header, _ENERGY]
        for cells, row in zip(rows, of.rows, strict=True):
            cells.append("" if row.joules is None else f"{row.joules:.2f}")
    return markdown_table(header, rows)


def _cells(row: Row) -> list[str]:
    claim = row.claim
    warm = "" if row.warm is None else f", {row.warm:.1f}"
    after = "never" if row.break_even == inf else f"{row.break_even:,.0f}"
    if is_duplicate(row.variant):
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
        f"{row.cold:.1f}{warm} s",
        after,
        against,
        verdict,
    ]


def exclusion_notes(workload: Mapping[str, Any]) -> list[str]:
    """A sentence for each variant that is excluded."""
    return [
        f"{name} is excluded: {reason}."
        for name, reason in exclusions(workload).items()
    ]


def notes(workload: Mapping[str, Any], of: Table) -> list[str]:
    """What a reader of a workload's table must know."""
    lines = exclusion_notes(workload)
    if why := lacks_interval(workload):
        lines.append(why)
    if of.floor is None:
        lines.append("No variant has an A/A duplicate: there is no verdict.")
    else:
        lines.append(
            "Noise floor (A/A): a variant differs from its duplicate by a "
            f"ratio of {of.floor:.3f}. A smaller difference is never called "
            "faster or slower."
        )
    repetition = whole_repetitions(workload)[0]
    for twin, row in of.best_rows().items():
        roof = row.roof
        lines.append(
            f"Roofline of {twin}: {roof.flops / 1e9:.3g} GFLOP at "
            f"{roof.peak / 1e9:,.0f} GFLOP/s and {roof.bytes / 1e6:.3g} MB of "
            f"optimizers' traffic at {roof.bandwidth / 1e9:,.0f} GB/s take "
            f"{1000 * roof.seconds:.3g} ms."
        )
        settings = repetition["variants"][row.variant]["settings"]
        shown = ", ".join(f"{name} {value}" for name, value in settings.items())
        lines.append(f"Settings of {twin}: {shown or 'none'}.")
    if of.background > background.MOST:
        lines.append(
            f"Background load: other processes had {of.background:.0%} of the "
            "machine."
        )
    loops = {parse(row.variant)[1] for row in of.rows}
    if "device" in loops:
        lines.append("device also draws its batches; the others get them.")
    if "tutorial" in loops:
        lines.append("tutorial is context: no framework is judged by it.")
    return lines
