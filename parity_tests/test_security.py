"""No file that is read executes anything."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("experiment", "jax_gan", "torch_ref", "parity_tests", "benchmarks")
# Modules and functions that run, or restore, what a file says.
MODULES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
FUNCTIONS = {"eval", "exec"}
LOADERS = {("torch", "load"), ("np", "load"), ("numpy", "load")}


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
            unsafe = any(k.arg == "allow_pickle" for k in node.keywords)
            if called == ("torch", "load") or (called in LOADERS and unsafe):
                yield node.lineno, ".".join(called)


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
        "np.load(path, allow_pickle=True)",
    ],
)
def test_it_would_be_found(text):
    assert list(_faults(text))
