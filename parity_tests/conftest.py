"""Fixtures, and the table of measured errors at the end of the output."""

import json
from pathlib import Path

import jax
import pytest
from jaxtyping import install_import_hook

from experiment.data import load_available
from parity_tests.compare import Gap
from parity_tests.small import small_config, small_data

# The shapes in the twins' signatures are checked in every call of a test.
install_import_hook(
    [
        f"{twin}.{module}"
        for twin in ("jax_gan", "torch_ref")
        for module in ("layers", "losses", "maxout", "models")
    ],
    "beartype.beartype",
)

# Tests that compile a whole game each, which no other test uses.
_COMPILING = (
    "test_100_steps",
    "test_figure1_100",
    "test_20_and",
    "test_each_twin",
)

# Virtual devices of the tests that need several: before JAX starts, and it
# starts here, so that no test can change it.
jax.config.update("jax_num_cpu_devices", 4)
jax.devices("cpu")

Bounds = float | dict[str, float] | None
_MEASURED: dict[str, dict[str, tuple[Gap, float | None]]] = {}


def pytest_addoption(parser):
    """``--record FILE``: where the measured errors go as JSON."""
    parser.addoption("--record", type=Path, help="JSON file of measured errors")
    parser.addoption(
        "--on",
        choices=("gpu", "cpu"),
        default="gpu",
        help="device of the tests marked gpu (default: gpu)",
    )


@pytest.fixture(autouse=True)
def _leave_no_trace(request):
    """No test's precision is another's, and no memory is kept for one.

    Programs of many big games would fill the memory of one process. Games that
    differ in k alone, which goes up to 3, share those of their networks.
    """
    yield
    jax.config.update("jax_enable_x64", False)
    of = getattr(request.node, "callspec", None)
    last = of is None or of.params.get("k", 3) == 3
    if request.node.name.startswith(_COMPILING) and last:
        jax.clear_caches()


@pytest.fixture(scope="session")
def digits():
    """The data of a config, or what stands for them; each set once."""
    cache = {}

    def load_for(config):
        if config.data == "folder":  # as large as the minibatch
            return load_available(config)
        key = config.output, config.precision, config.data
        if key not in cache:
            cache[key] = load_available(config)
        return cache[key]

    return load_for


@pytest.fixture
def tiny():
    """A small game in float64 and its data."""
    return small_config(), small_data()


@pytest.fixture
def measured(request):
    """Where a test leaves what it measured, to be held against bounds."""

    def record(gaps: dict[str, Gap], bounds: Bounds = None) -> None:
        if not isinstance(bounds, dict):
            bounds = {} if bounds is None else dict.fromkeys(gaps, bounds)
        test = f"{request.module.__name__}::{request.node.name}"
        _MEASURED[test] = {k: (v, bounds.get(k)) for k, v in gaps.items()}
        for kind, bound in bounds.items():
            assert gaps[kind].error <= bound, f"{kind}: {gaps[kind]} > {bound}"

    return record


@pytest.fixture
def refused(capsys):
    """Asserts that a command ends in one clear line on stderr, status 2."""

    def check(command, arguments, *parts):
        try:
            status = command([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = ended.code
        captured = capsys.readouterr()
        assert status == 2
        assert captured.err.count("\n") == 1, captured.err
        assert captured.err.startswith("error: ")
        assert not captured.out
        for part in parts:
            assert str(part) in captured.err

    return check


def pytest_terminal_summary(terminalreporter, config):
    """Prints what was measured, not only that it passed."""
    if not _MEASURED:
        return
    terminalreporter.section("largest difference between the twins")
    for name, gaps in _MEASURED.items():
        errors = "  ".join(f"{k} {v.error:.1e}" for k, (v, _) in gaps.items())
        terminalreporter.write_line(f"{name.split('::')[1]:<48} {errors}")
    if path := config.getoption("record"):
        rows = {
            name: {
                kind: {"error": found.error, "bound": bound}
                for kind, (found, bound) in gaps.items()
            }
            for name, gaps in _MEASURED.items()
        }
        path.write_text(json.dumps(rows, indent=1) + "\n")
