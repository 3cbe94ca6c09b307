"""The notebook runs, and shows what a whole run of it gave."""

import re

import nbformat
import pytest
from nbclient import NotebookClient

from benchmarks.readme import ROOT

PATH = ROOT / "experiment/fake_digits.ipynb"
KILOBYTES = 600


def _read():
    return nbformat.read(PATH, as_version=4)


def _code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _parameters(notebook):
    """The cell that papermill and this test know by its tag."""
    (cell,) = (
        cell
        for cell in notebook.cells
        if "parameters" in cell.metadata.get("tags", ())
    )
    return cell


def _shown(notebook):
    """What each cell of code displays: printed text, or types of data."""
    return [
        {
            kind
            for output in cell.outputs
            for kind in output.get("data", {output.get("name"): None})
        }
        for cell in _code(notebook)
    ]


def _largest_difference(notebook):
    text = "".join(
        output.text
        for cell in _code(notebook)
        for output in cell.outputs
        if output.output_type == "stream"
    )
    return float(re.search(r"largest difference.*: (\S+)", text)[1])


@pytest.fixture(scope="module")
def executed():
    """After a hundredth of the iterations, in its folder as in Jupyter."""
    notebook = _read()
    _parameters(notebook).source = "FRACTION = 0.01"
    resources = {"metadata": {"path": str(PATH.parent)}}
    return NotebookClient(notebook, timeout=600, resources=resources).execute()


def test_runs_from_top_to_bottom(executed):
    """An error of any cell ends the execution; a warning goes to stderr."""
    counts = [cell.execution_count for cell in _code(executed)]
    assert counts == list(range(1, len(counts) + 1))
    assert not any("stderr" in kinds for kinds in _shown(executed))


def test_frameworks_agree(executed):
    assert 0 < _largest_difference(executed) < 1e-12


def test_committed_outputs_are_of_a_whole_run(executed):
    """Every cell shows what the executed one does, so none an error."""
    committed = _read()
    assert _parameters(committed).source.endswith("\nFRACTION = 1.0")
    counts = [cell.execution_count for cell in _code(committed)]
    assert counts == list(range(1, len(counts) + 1))
    assert _shown(committed) == _shown(executed)
    assert 0 < _largest_difference(committed) < 1e-12


def test_committed_file_is_small_and_of_no_machine():
    """No times, no editor's state; any kernel of Python 3 will do."""
    committed = _read()
    assert PATH.stat().st_size < 1000 * KILOBYTES
    assert committed.metadata.kernelspec.name == "python3"
    for cell in committed.cells:
        assert cell.metadata.keys() <= {"tags"}
