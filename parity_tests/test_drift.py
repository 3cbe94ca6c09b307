"""The drift of the report: what is measured, drawn and committed."""

import json
from pathlib import Path

import numpy as np
import pytest

from parity_tests.drift import measure_drift, plot_drift

SEEDS, STEPS = (0, 1), 4


@pytest.fixture(scope="module")
def drift():
    return measure_drift(SEEDS, STEPS)


def test_measured(drift):
    for curves in drift.values():
        assert np.shape(curves) == (len(SEEDS), STEPS)
        assert np.max(curves) > 0  # two runs, not one compared with itself
        assert curves[0] != curves[1]  # of two seeds
    double, *single = drift.values()
    assert np.max(double) < 1e-12
    assert np.max(double) < min(np.max(curves) for curves in single)
    # A unit at its kink moves a loss by 1e-3, other weights by 1e-1.
    assert np.max(single) < 1e-2


def test_plot(drift, tmp_path):
    plot_drift(tmp_path / "drift.png", drift)
    assert (tmp_path / "drift.png").read_bytes().startswith(b"\x89PNG")


def test_committed(drift):
    path = Path(__file__).parent / "report" / "parity.json"
    committed = json.loads(path.read_text())["drift"]
    assert list(committed) == list(drift)
    for curves in committed.values():
        seeds, steps = np.shape(curves)
        assert seeds >= 5
        assert steps >= 300
