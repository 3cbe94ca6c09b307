"""The pages of the README files, with tables from committed measurements.

``python -m benchmarks readme`` writes the tables between their markers; a test
compares the files with them.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import (
    quality_report,
    readme_tables,
    speed_tables,
    stability_report,
)
from benchmarks.listing import list_algorithm
from benchmarks.readme_tables import ROOT
from experiment.files import replace_text

PAGES = (
    "README.md",
    "experiment/README.md",
    "parity_tests/README.md",
    "benchmarks/README.md",
)


def render(text: str) -> str:
    """The text of a page with every table between its markers up to date.

    Raises:
        KeyError: a marker names no table.
    """

    def table(found: re.Match[str]) -> str:
        name = found[1]
        return f"<!-- {name} -->\n{TABLES[name]()}\n<!-- end -->"

    return re.sub(
        r"<!-- (\w+) -->\n.*?<!-- end -->", table, text, flags=re.DOTALL
    )


def write_pages() -> list[Path]:
    """Writes every page with its tables up to date; returns the paths."""
    paths = [ROOT / page for page in PAGES]
    for path in paths:
        replace_text(path, render(path.read_text()))
    return paths


def _from(source: str, make: Callable[[Any], str]) -> Callable[[], str]:
    """The table that ``make`` makes of a committed JSON file."""
    return lambda: make(json.loads((ROOT / source).read_text()))


_PARITY = "parity_tests/report/parity.json"
TABLES: dict[str, Callable[[], str]] = {
    "algorithm": list_algorithm,
    "twins": lambda: list_algorithm("generator_step"),
    "recipes": readme_tables.recipes,
    "quality": readme_tables.quality,
    "paper": readme_tables.paper,
    "starts": readme_tables.starts,
    "demo": _from("benchmarks/demo/demo.json", readme_tables.demo),
    "ladder": _from(_PARITY, readme_tables.levels),
    "parity": _from(_PARITY, readme_tables.parity),
    "causes": _from("parity_tests/report/causes.json", readme_tables.causes),
    "study": _from("benchmarks/study.json", quality_report.tables),
    "stability": _from("benchmarks/stability.json", stability_report.tables),
    "speed": _from("benchmarks/speed.json", speed_tables.speed),
    "bfloat16": _from("benchmarks/bfloat16.json", speed_tables.speed),
    "seeds": _from("benchmarks/seeds.json", speed_tables.seeds),
    "gpu": _from("benchmarks/gpu/tf32.json", speed_tables.speed),
}
