"""The README's numbers are those of the committed measurements."""

from pathlib import Path

from benchmarks import report
from benchmarks.readme import ROOT, render
from benchmarks.results import load


def test_tables():
    text = (ROOT / "README.md").read_text()
    assert render(text) == text, "run python -m benchmarks readme"


def test_report_of_the_gpu(tmp_path):
    folder = ROOT / "benchmarks/gpu"
    report.write(tmp_path, load(folder / "tf32.json"))
    found = (tmp_path / "REPORT.md").read_text()
    assert found == (folder / "REPORT.md").read_text()


def test_pictures_exist():
    text = (ROOT / "README.md").read_text()
    for line in text.splitlines():
        if line.startswith("!["):
            assert (ROOT / line.split("](")[1].rstrip(")")).exists()


def test_layout_is_whole():
    text = (ROOT / "README.md").read_text()
    for folder in (ROOT / "experiment", *ROOT.glob("*_*")):
        if (folder / "__init__.py").exists():
            assert f"{Path(folder).name}/" in text
