"""Fixtures, and the table of measured errors at the end of the output."""

import numpy as np
import pytest

from experiment.data import load
from experiment.recipes import recipe
from parity_tests.compare import Gap

_MEASURED: dict[str, dict[str, Gap]] = {}


@pytest.fixture(scope="session")
def digits():
    """The embedded digits for each range of output, in float64."""
    cache = {}

    def load_for(config):
        key = config.output, config.precision, config.data
        if key not in cache:
            cache[key] = load(config)
        return cache[key]

    return load_for


@pytest.fixture
def tiny():
    """A small game of the mlp recipe in float64, and 50 tiny images."""
    config = recipe(
        "mlp",
        generator_hidden=(16, 16),
        discriminator_hidden=(12, 12),
        batch_size=8,
        noise_size=5,
        precision="float64",
    )
    rng = np.random.default_rng(0)
    return config, rng.uniform(size=(50, 28, 28, 1))


@pytest.fixture
def measured(request):
    """Where a test leaves the errors that it measured."""

    def record(gaps: dict[str, Gap]) -> None:
        _MEASURED[request.node.name] = gaps

    return record


def pytest_terminal_summary(terminalreporter):
    """Prints what was measured, not only that it passed."""
    if not _MEASURED:
        return
    terminalreporter.section("largest difference between the twins")
    for name, gaps in _MEASURED.items():
        errors = "  ".join(f"{k} {v.error:.1e}" for k, v in gaps.items())
        terminalreporter.write_line(f"{name:<52} {errors}")
