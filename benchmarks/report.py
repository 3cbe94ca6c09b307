"""The page of a ladder: Markdown, and HTML that needs no network."""

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import report_plots as plots
from benchmarks.analysis import Table, tabulate
from benchmarks.report_text import bullets, exclusion_notes, head, notes, table
from benchmarks.results import whole_repetitions
from experiment.pages import html_page

_TITLE = "Times of every variant"


def write(folder: Path, results: Mapping[str, Any]) -> None:
    """Writes REPORT.md and, with plots, report.html."""
    folder.mkdir(parents=True, exist_ok=True)
    workloads = results["workloads"]
    tables = {
        name: tabulate(workload)
        for name, workload in workloads.items()
        if whole_repetitions(workload)
    }
    text = [f"# {_TITLE}"]
    text += [html.escape(line, quote=False) for line in head(results)]
    page = text.copy()
    for name, workload in workloads.items():
        section = _section(name, workload, tables.get(name))
        text += section
        page += section
        if name in tables:
            page += _figures(workload, tables[name])
    if tables:
        page += ["## The roofline", plots.roofline(tables)]
    if over := plots.over_batches(workloads, tables):
        page += ["## images/s over batch size", over]
    (folder / "REPORT.md").write_text("\n\n".join(text) + "\n")
    shown = html_page(_TITLE, "\n\n".join(page), folder)
    (folder / "report.html").write_text(shown)


def _section(
    name: str, workload: Mapping[str, Any], rows: Table | None
) -> list[str]:
    """A workload in text: its table, if any block was timed, and its notes."""
    recipe = name.partition(":")[0]
    title = f"## {recipe}, batch {workload['batch_size']}"
    if rows is None:
        reasons = exclusion_notes(workload)
        return [title, bullets([*reasons, "Nothing was timed."])]
    return [title, table(rows), bullets(notes(workload, rows))]


def _figures(workload: Mapping[str, Any], rows: Table) -> list[str]:
    figures = [plots.times(rows), plots.blocks(workload)]
    figures.append(plots.break_even(rows))
    return figures + plots.over_seeds(rows)
