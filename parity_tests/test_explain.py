"""What explain says of injected differences, and where it says nothing."""

import json

import numpy as np
import pytest

from parity_tests.__main__ import main
from parity_tests.causes import explain
from parity_tests.injected import COMMITTED, INJECTED, results
from parity_tests.traps import usual_causes


def test_the_committed_table(tmp_path, capsys):
    out = tmp_path / "causes.json"
    assert main(["causes", "--out", str(out)]) == 0
    assert out.read_text() == COMMITTED.read_text(), (
        "run python -m parity_tests causes, then python -m benchmarks readme"
    )
    named = sum(row["right"] for row in json.loads(out.read_text()))
    assert f"{named} of 30 are named" in capsys.readouterr().out


def test_at_least_25_of_30_are_named_and_none_wrongly():
    rows = results()
    assert len(rows) == 30
    assert sum(row["right"] for row in rows) >= 25
    for row, injected in zip(rows, INJECTED, strict=True):
        assert row["right"] == bool(injected.cause), row
        assert bool(row["said"]) == row["right"], row


@pytest.mark.parametrize("kind", ["activation", "weights", "statistics"])
@pytest.mark.parametrize("size", [1e-9, 1e-7, 1e-5, 1.0])
def test_noise_has_no_cause(kind, size):
    rng = np.random.default_rng(0)
    a, noise, before = rng.normal(size=(3, 6, 6))
    moments = {"m": noise, "v": before**2}
    assert explain(a, a + size * noise, kind) == []
    assert explain(a, a + size * noise, kind, "", before, moments) == []


@pytest.mark.parametrize(
    ("by", "cause"),
    [
        (lambda a: 1 / (1 + np.exp(-a)), "its sigmoid"),
        (np.exp, "its exponential"),
        (np.square, "its square: a variance"),
        (lambda a: np.clip(a, -1, 1), "clipped to 1"),
        (lambda a: np.maximum(a, 0), "a ReLU more"),
        (lambda a: 0 * a, "0 everywhere: a gradient that was stopped"),
        (lambda a: a[::-1].T, "the same numbers in another order"),
        (lambda a: a + 0.25, "0.25 more than the reference"),
    ],
)
def test_a_function_of_every_number(by, cause):
    array = np.random.default_rng(0).normal(size=(6, 7))
    (said,) = explain(array, by(array), "activation")
    assert cause in said


@pytest.mark.parametrize(
    ("phase", "kind", "name", "part"),
    [
        ("update of model", "weights", "model/out/kernel", "AdamW: 1e-4 in"),
        ("update of model", "weights", "model/out/bias", "before a batch norm"),
        ("update of D", "gradient", "D/hidden/kernel", "normalisation has one"),
        ("forward pass", "statistics", "D/0/_u", "order of a power iteration"),
        ("forward pass", "statistics", "model/norm/var", "unbiased variance"),
        ("forward pass", "activation", "model/norm", "epsilon of a norm"),
        ("backward pass", "gradient", "input/0", "derivative at a kink"),
        ("checkpoint", "weights", "model/out/kernel", "of another layer"),
        ("update of model", "moments", "model/kernel (v)", "b2, or"),
    ],
)
def test_usual_causes_are_found_by_phase_kind_and_slot(phase, kind, name, part):
    assert part in usual_causes(phase, kind, name)
