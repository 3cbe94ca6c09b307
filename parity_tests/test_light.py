"""Commands run without the tests' packages, and load what they need alone."""

import argparse
import ast
import json
import os
import re
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
# Each with what is installed for it alone.
ONLY_JAX = {"jax", "jaxlib", "flax", "optax", "orbax", "chex"}
ONLY_TORCH = {"torch", "torchvision"}
# Python runs it before all else, in the children of a command too.
WITHOUT = """
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, *others):
        if name.split(".")[0] not in {missing}:
            return super().find_spec(name, *others)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
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
    path = os.pathsep.join([str(site), str(ROOT)])

    def run(*commands, missing=frozenset()):
        finder = WITHOUT.format(missing=DEV | missing)
        (site / "sitecustomize.py").write_text(finder)
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


# The batches of the guide's side in NumPy.
BATCHES = """
def batches():
    rng = np.random.default_rng(0)
    return [{"x": rng.normal(size=(16, 8)), "y": rng.normal(size=16)}] * 3
"""
OF_TORCH = """
import torch
from parity_tests import torch_side

def side():
    model = torch.nn.Sequential()
    model.dense = torch.nn.Linear(8, 1, bias=False)
    optimizer = torch.optim.SGD(model.double().parameters(), 0.01, momentum=0.9)

    def step(batch):
        loss = ((model(batch["x"])[:, 0] - batch["y"]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss}

    return torch_side(step, {"model": model}, {"model": optimizer})
"""
OF_JAX = """
import jax
import numpy as np
import optax
from parity_tests import jax_side, keep_gradients

jax.config.update("jax_enable_x64", True)

def side():
    rule = keep_gradients(optax.sgd(0.01, momentum=0.9))
    params = {"dense": {"kernel": np.ones((8, 1))}}

    @jax.jit
    def step(state, batch):
        def loss_fn(params):
            y = batch["x"] @ params["dense"]["kernel"]
            return ((y[:, 0] - batch["y"]) ** 2).mean()

        loss, grads = jax.value_and_grad(loss_fn)(state[0])
        updates, opt_state = rule.update(grads, state[1])
        params = optax.apply_updates(state[0], updates)
        return (params, opt_state), {"loss": loss}

    return jax_side(
        step,
        (params, rule.init(params)),
        lambda s: {"model": {"weights": s[0], "moments": s[1]}},
    )
"""


@pytest.mark.parametrize(
    ("code", "missing"),
    [
        ("from of_numpy import Side as side", ONLY_JAX | ONLY_TORCH),
        (OF_TORCH, ONLY_JAX),
        (OF_JAX, ONLY_TORCH),
    ],
    ids=["neither", "torch", "jax"],
)
def test_a_pair_where_one_framework_is_installed(
    without_dev, tmp_path, code, missing
):
    """The guide's side in NumPy, as the reference and as the port."""
    guide = (ROOT / "parity_tests/README.md").read_text()
    (side,) = re.findall(
        r"```python\n(from parity_tests import Event.*?)```", guide, re.DOTALL
    )
    of_numpy = f"import numpy as np\n{side}{BATCHES}"
    (tmp_path / "of_numpy.py").write_text(of_numpy)
    (tmp_path / "mine.py").write_text(code)
    check, batches = ["parity_tests", "check"], "of_numpy:batches"
    statuses, modules, shown = without_dev(
        [*check, "of_numpy:Side", "mine:side", "--batches", batches],
        [*check, "mine:side", "of_numpy:Side", "--batches", batches],
        missing=missing,
    )
    assert statuses == [0, 0], shown
    assert shown.count("The port agrees with the reference.") == 2
    assert shown.count("1 of weights, 1 of moments") == 2
    assert not modules & missing


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
OF_PYTEST = {"parity_tests/plugin.py"}  # pytest alone loads it


@pytest.mark.parametrize("package", ABOVE)
def test_a_package_imports_none_above_it(package):
    for path, tree in _sources(package):
        if str(path.relative_to(ROOT)) not in EXCEPTIONS:
            assert not _imported(ast.walk(tree)) & ABOVE[package], path


@pytest.mark.parametrize("package", ABOVE)
def test_only_tests_need_the_tests_packages(package):
    for path, tree in _sources(package):
        if str(path.relative_to(ROOT)) not in OF_PYTEST:
            assert not _imported(tree.body) & DEV, path
