"""The plugin of pytest, by -p and by its entry point."""

import tomllib
from pathlib import Path

import pytest

import parity_tests

TEST = """
import numpy as np
import pytest
from parity_tests import Key

W = Key("weights", "model", "w")

class Side:
    rate = 0.1

    def __init__(self):
        self.state = {W: np.ones(3)}

    def step(self, batch):
        self.state[W] = self.state[W] * (1 - self.rate * batch)
        return {}

    def read(self):
        return {W: self.state[W].copy()}

    def write(self, state):
        self.state = dict(state)

class Wrong(Side):
    rate = 0.2

def test_agrees(parity):
    assert parity(Side, Side, [np.ones(3)]).ok
    parity(Side, Side, [np.ones(3)] * 2, lockstep=True)

@pytest.mark.parametrize("part", ["a/b"])
def test_diverges(parity, part):
    parity(Side, Wrong, [np.ones(3)])
"""


@pytest.fixture
def installed(pytester):
    """The entry point of pyproject.toml, as an installation has it."""
    project = Path(parity_tests.__file__).parent.parent / "pyproject.toml"
    points = tomllib.loads(project.read_text())["project"]["entry-points"]
    lines = [f"{name} = {of}" for name, of in points["pytest11"].items()]
    folder = pytester.mkdir("installed-1.dist-info")
    (folder / "METADATA").write_text("Name: installed\nVersion: 1\n")
    text = "\n".join(["[pytest11]", *lines])
    (folder / "entry_points.txt").write_text(text)
    pytester.syspathinsert()


def _run(pytester, *arguments):
    pytester.makepyfile(TEST)
    ended = pytester.runpytest_inprocess(*arguments)
    ended.assert_outcomes(passed=1, failed=1)
    ended.stdout.fnmatch_lines(["*The port diverges in step 1, update of mo*"])


@pytest.mark.parametrize(
    "arguments", [[], ["-p", "parity_tests.plugin"]], ids=["alone", "with -p"]
)
def test_installed(installed, pytester, arguments):
    _run(pytester, *arguments)


def test_not_installed(pytester):
    report = ["--parity-report", "pages/of/today"]
    _run(pytester, "-p", "parity_tests.plugin", *report)
    pages = sorted((pytester.path / "pages/of/today").iterdir())
    assert [path.name for path in pages] == [
        "test_not_installed.py-test_agrees-2.html",
        "test_not_installed.py-test_agrees.html",
        "test_not_installed.py-test_diverges-a-b.html",
    ]
    assert "The port diverges in step 1" in pages[-1].read_text()
