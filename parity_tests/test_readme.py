"""The README files' numbers are those of the committed measurements."""

import json
import re

import pytest

from benchmarks import report
from benchmarks.readme import PAGES, ROOT, TABLES, render
from benchmarks.results import load


@pytest.mark.parametrize("page", PAGES)
def test_tables(page):
    text = (ROOT / page).read_text()
    assert render(text) == text, "run python -m benchmarks readme"


def test_every_table_is_on_a_page():
    text = "".join((ROOT / page).read_text() for page in PAGES)
    markers = set(re.findall(r"<!-- (\w+) -->", text)) - {"end"}
    assert markers == set(TABLES)


@pytest.mark.parametrize("page", [*PAGES, "experiment/fake_digits.ipynb"])
def test_links_lead_somewhere(page):
    """Files, and headings of files, that a page links to."""
    path = ROOT / page
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        # GitHub's pages of a repository are above its files.
        if target.startswith(("http", "../../actions/")):
            continue
        file, _, heading = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        assert linked.exists(), target
        if heading:
            lines = linked.read_text().splitlines()
            titles = [line for line in lines if line.startswith("#")]
            assert heading in map(_anchor, titles), target


def _anchor(title):
    words = re.sub(r"[^\w\s-]", "", title.lstrip("#").strip().lower())
    return words.replace(" ", "-")


def test_the_front_page_is_short():
    text = re.sub(
        r"<!-- (\w+) -->.*?<!-- end -->",
        "",
        (ROOT / "README.md").read_text(),
        flags=re.DOTALL,
    )
    assert len(text.split()) < 1300


@pytest.mark.parametrize(
    "path",
    [
        *sorted((ROOT / "benchmarks").glob("*.json")),
        ROOT / "benchmarks/demo/demo.json",
        ROOT / "parity_tests/report/parity.json",
    ],
    ids=lambda path: path.stem,
)
def test_figures_are_of_the_versions_that_make_installs(path):
    lines = (ROOT / "benchmarks/constraints.txt").read_text().splitlines()
    pinned = dict(
        line.split("==") for line in lines if not line.startswith("#")
    )
    measured = list(_versions(json.loads(path.read_text())))
    assert measured
    for versions in measured:
        assert versions == {name: pinned[name] for name in versions}


def _versions(contents):
    """Every ``versions`` in a file."""
    if isinstance(contents, dict):
        if "versions" in contents:
            yield contents["versions"]
        contents = list(contents.values())
    if isinstance(contents, list):
        for part in contents:
            yield from _versions(part)


def test_report_of_the_gpu(tmp_path):
    folder = ROOT / "benchmarks/gpu"
    report.write(tmp_path, load(folder / "tf32.json"))
    found = (tmp_path / "REPORT.md").read_text()
    assert found == (folder / "REPORT.md").read_text()
