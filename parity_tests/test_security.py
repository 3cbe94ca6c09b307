"""No file that is read executes anything."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("experiment", "jax_gan", "torch_ref", "parity_tests", "benchmarks")
# Modules and functions that run, or restore, what a file says.
MODULES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
FUNCTIONS = {"eval", "exec"}


def _faults(text):
    """What a source has of them, by line."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            names.append(getattr(node, "module", None) or "")
            for name in names:
                if name.partition(".")[0] in MODULES:
                    yield node.lineno, name
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        if isinstance(function, ast.Name) and function.id in FUNCTIONS:
            yield node.lineno, function.id
        if isinstance(function, ast.Attribute) and isinstance(
            function.value, ast.Name
        ):
            called = function.value.id, function.attr
            if called in LOADERS and not LOADERS[called](node.keywords):
                yield node.lineno, ".".join(called)


def _weights_only(keywords):
    return any(
        k.arg == "weights_only" and getattr(k.value, "value", None) is True
        for k in keywords
    )


def _no_pickle(keywords):
    return all(k.arg != "allow_pickle" for k in keywords)


# What can restore a pickle, and what its keywords must say.
LOADERS = {
    ("torch", "load"): _weights_only,
    ("np", "load"): _no_pickle,
    ("numpy", "load"): _no_pickle,
}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_source_executes_what_it_reads(package):
    for path in (ROOT / package).rglob("*.py"):
        assert not list(_faults(path.read_text())), path


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "x = eval(text)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_it_would_be_found(text):
    assert list(_faults(text))
