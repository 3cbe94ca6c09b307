"""Commands run without the tests' packages, and load what they need alone."""

import argparse
import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import benchmarks.__main__ as of_benchmarks
import parity_tests.__main__ as of_parity

ROOT = Path(of_parity.__file__).parent.parent
FRAMEWORKS = {"jax", "torch", "sklearn"}
DEV = {
    "pytest",
    "_pytest",
    "hypothesis",
    "mypy",
    "ruff",
    "ipykernel",
    "nbclient",
    "nbformat",
    "playwright",
}
# Python runs it before all else, in the children of a command too.
WITHOUT_DEV = f"""
import sys
from importlib.machinery import PathFinder

class WithoutDev(PathFinder):
    @classmethod
    def find_spec(cls, name, *others):
        if name.split(".")[0] not in {DEV}:
            return super().find_spec(name, *others)

sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutDev
"""
# Runs each command of a list, and says what it left loaded.
RUN = """
import json, sys
from importlib import import_module

statuses = []
for module, *arguments in json.loads(sys.argv[1]):
    try:
        statuses.append(import_module(module + ".__main__").main(arguments))
    except SystemExit as ended:
        statuses.append(ended.code)
print(json.dumps([statuses, sorted(sys.modules)]))
"""


@pytest.fixture
def without_dev(tmp_path):
    """Runs commands where only the package and what it depends on are."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(WITHOUT_DEV)
    path = os.pathsep.join([str(site), str(ROOT)])

    def run(*commands):
        given = json.dumps([[str(a) for a in command] for command in commands])
        ended = subprocess.run(
            [sys.executable, "-c", RUN, given],
            env={**os.environ, "PYTHONPATH": path},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert ended.returncode == 0, ended.stderr
        shown, _, last = ended.stdout.rstrip().rpartition("\n")
        statuses, modules = json.loads(last)
        return statuses, set(modules), f"{shown}\n{ended.stderr}"

    return run


def _names(parser):
    (of,) = (
        action
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return list(of.choices)


PACKAGES = {"benchmarks": of_benchmarks, "parity_tests": of_parity}
HELP = [
    (package, *command, "--help")
    for package, module in PACKAGES.items()
    for command in ([], *([name] for name in _names(module._parser())))
]
# Each with the value that its line on stderr names.
BAD = [
    ("benchmarks", "quick", "--device", "tpu"),
    ("benchmarks", "quick", "--budget", "-1"),
    ("benchmarks", "ladder", "--out", "x.json", "--rounds", "0"),
    ("benchmarks", "ladder", "--out", "x.json", "--variants", "jax warp"),
    ("benchmarks", "report", "--out", "x", "nowhere.json"),
    ("benchmarks", "quality", "--out", "x.json", "--seeds", "1"),
    ("benchmarks", "quality", "--out", "x.json", "--steps", "0"),
    ("benchmarks", "stability", "--out", "x.json", "--seeds", "0"),
    ("benchmarks", "stability", "--out", "x.json", "--jobs", "0"),
    ("benchmarks", "stability", "--out", "x.json", "--recipe", "figure1"),
    ("benchmarks", "stability", "--out", "x.md"),
]


def test_help_and_bad_options_answer_at_once(without_dev, tmp_path):
    statuses, modules, shown = without_dev(*HELP, *BAD)
    assert statuses == [0] * len(HELP) + [2] * len(BAD)
    assert not modules & (FRAMEWORKS | {"matplotlib"})
    assert shown.count("usage: ") == len(HELP)
    errors = [line for line in shown.splitlines() if line.startswith("error: ")]
    for (*_, value), error in zip(BAD, errors, strict=True):
        assert value in error
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_commands_of_parity_without_the_tests_packages(without_dev, tmp_path):
    trajectory, out = tmp_path / "trajectory", tmp_path / "report"
    sizes = ["--recipe", "lecture", "--steps", 2, "--batch-size", 4]
    torch = ["--implementation", "parity_tests.implementations:Torch"]
    statuses, _, shown = without_dev(
        ["parity_tests", "diagnose", "--fault", "b2 is .9991", "--steps", 2],
        ["parity_tests", "record", *sizes, "--out", trajectory],
        ["parity_tests", "replay", trajectory, *torch],
        ["parity_tests", "report", "--out", out],
    )
    assert statuses == [0, 0, 0, 2]
    assert "update of discriminator: moments discriminator/" in shown
    assert "The port agrees with the reference" in shown
    assert "pytest is not installed: pip install -e '.[dev]'" in shown
    assert not out.exists()


def test_ladder_loads_no_framework(without_dev, tmp_path):
    """Its workers do, each one; none needs what only tests do."""
    out = tmp_path / "ladder.json"
    options = ["--workloads", "lecture:8", "--variants", "jax scan"]
    options += [
        "--rounds",
        1,
        "--repetitions",
        1,
        "--block",
        0.01,
        "--out",
        out,
    ]
    statuses, modules, shown = without_dev(["benchmarks", "ladder", *options])
    assert statuses == [0], shown
    assert not modules & (FRAMEWORKS | {"matplotlib"})
    results = json.loads(out.read_text())
    assert results["complete"]
    (one,) = results["workloads"]["lecture:8"]["sets"]
    assert len(one["variants"]["jax scan"]["seconds"]) == 1


def _sources(package):
    """The files of a package but its tests, each with its syntax tree."""
    for path in (ROOT / package).rglob("*.py"):
        if not path.name.startswith(("test_", "conftest")):
            yield path, ast.parse(path.read_text())


def _imported(nodes):
    """The packages that statements import."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return {name.partition(".")[0] for name in names}


TWINS = {"jax_gan", "torch_ref"}
ABOVE = {
    "experiment": TWINS | {"parity_tests", "benchmarks"},
    "jax_gan": {"torch_ref", "parity_tests", "benchmarks"},
    "torch_ref": {"jax_gan", "parity_tests", "benchmarks"},
    "parity_tests": {"benchmarks"},
    "benchmarks": {"parity_tests"},
}
EXCEPTIONS = {"benchmarks/demo.py"}  # it shows that the twins agree


@pytest.mark.parametrize("package", ABOVE)
def test_a_package_imports_none_above_it(package):
    for path, tree in _sources(package):
        if str(path.relative_to(ROOT)) not in EXCEPTIONS:
            assert not _imported(ast.walk(tree)) & ABOVE[package], path


@pytest.mark.parametrize("package", ABOVE)
def test_only_tests_need_the_tests_packages(package):
    for path, tree in _sources(package):
        assert not _imported(tree.body) & DEV, path
