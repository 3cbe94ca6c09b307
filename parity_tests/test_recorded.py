"""Recordings of any side, in NumPy alone: written, replayed, judged."""

import json
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pytest

from experiment.errors import InputError
from parity_tests import record, replay
from parity_tests.__main__ import main
from parity_tests.container import load_recording
from parity_tests.recorded import batch_of
from parity_tests.test_check import (
    _Adam,
    _AdamReversed,
    _batches,
    _ByAnotherSum,
    _changed,
    _Linear,
    _NaiveAdam,
    _Random,
    _Renamed,
    _Unused,
)


@pytest.fixture
def recorded(tmp_path):
    folder = tmp_path / "r"
    record(_Linear, _batches(), folder)
    return folder


def test_a_port_that_agrees(recorded):
    result = replay(recorded, _ByAnotherSum)
    assert result.ok
    assert result.coverage.arrays == {
        "weights": 2,
        "moments": 2,
        "statistics": 1,
    }
    assert result.coverage.gradients == 8
    assert not result.coverage.left_out
    assert max(result.control) > 0


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"rate": 0.1}, "weights"),
        ({"factor": 2.0}, "metric"),
        ({"keep": 0.8}, "statistics"),
    ],
)
def test_a_fault_is_named(recorded, change, kind):
    first = replay(recorded, _changed(**change)).first
    assert (first.entry.step, first.entry.kind) == (1, kind)
    assert first.entry.error > 1000 * first.entry.bound


def test_what_is_asked_of_a_replay_is_heeded(recorded):
    names = {"model/out": "model/Dense/0"}
    assert replay(recorded, _Renamed, names=names).ok
    faulty = _changed(keep=0.8)
    assert replay(recorded, faulty, ignore=["mean"]).ok
    assert replay(recorded, faulty, floor=10.0).ok


def test_metrics_and_order_are_recorded(tmp_path):
    record(_Linear, _batches(), tmp_path / "r", metrics={"loss": "model"})
    first = replay(tmp_path / "r", _changed(factor=2.0)).first
    assert (first.phase, first.entry.name) == ("update of model", "loss")
    with pytest.raises(InputError, match="no part 'mode'"):
        record(_Linear, _batches(), tmp_path / "s", metrics={"loss": "mode"})


def test_states_of_some_steps(tmp_path):
    record(_Linear, _batches(5), tmp_path / "r", states_at=(2,))
    result = replay(tmp_path / "r", _changed(keep=0.8))
    assert (result.coverage.states, result.coverage.gradients) == (2, 4)
    assert result.first.entry.step == 2
    assert len(result.growth) == 5


@pytest.mark.parametrize("lockstep", [False, True])
def test_float32_is_judged(lockstep, tmp_path):
    """1 - b2^t loses half of float32's digits; it must not pass."""
    record(_Adam, _batches(10), tmp_path / "r", lockstep=lockstep)
    right = replay(tmp_path / "r", _AdamReversed)
    assert right.ok, right
    naive = replay(tmp_path / "r", _NaiveAdam)
    assert (naive.first.entry.kind, naive.first.entry.step) == ("weights", 1)


def _without(folder, *entries):
    """As recordings were before they had these."""
    path = folder / "index.json"
    index = json.loads(path.read_text())
    for entry in ("sha256", *entries):
        del index[entry]
    path.write_text(json.dumps(index))


def test_float32_without_a_control_is_not_judged(tmp_path):
    record(_Adam, _batches(), tmp_path / "r")
    _without(tmp_path / "r", "control")
    with pytest.raises(InputError, match="has no control"):
        replay(tmp_path / "r", _Adam)
    assert replay(tmp_path / "r", _Adam, floor=1e-6).ok


def test_float64_without_a_control_is_bounded(recorded):
    _without(recorded, "control", "lockstep", "metrics", "order", "updates")
    result = replay(recorded, _ByAnotherSum)
    assert result.ok
    assert {of.bound for of in result.errors} == {0, 1e-12}
    assert not replay(recorded, _changed(keep=0.8)).ok


def test_a_changed_index_is_refused(recorded):
    path = recorded / "index.json"
    text = path.read_text()
    path.write_text(text.replace('"lockstep": false', '"lockstep": true'))
    with pytest.raises(InputError, match="was changed since") as raised:
        replay(recorded, _Linear)
    assert "\n" not in str(raised.value)


class _Nested(_Linear):
    """Whose batch is a tuple in a dict."""

    def step(self, batch):
        x, y = batch["pair"]
        return super().step({"x": x, "y": y})


def test_nested_batches_come_back(tmp_path):
    batches = [{"pair": (b["x"], b["y"])} for b in _batches(2)]
    record(_Nested, batches, tmp_path / "r")
    recording = load_recording(tmp_path / "r")
    x, _ = batch_of(recording, 2)["pair"]
    np.testing.assert_array_equal(x, batches[1]["pair"][0])
    assert replay(tmp_path / "r", _Nested).ok


class _Pair(NamedTuple):
    """A batch that no file gives back."""

    x: object


@pytest.mark.parametrize(
    ("side", "batches", "message"),
    [
        (_Linear, [], "there is no batch"),
        (_Linear, [{**_batches()[0], "of": "words"}], "batch's of is 'words'"),
        (
            _Nested,
            [{"pair": tuple(_batches()[0].values()), "p": _Pair(np.ones(1))}],
            "a batch has a _Pair",
        ),
        (
            _Linear,
            [_batches()[0], {**_batches()[0], "z": np.ones(1)}],
            "all must have the same names",
        ),
        (_Random, _batches(), "the reference must be deterministic"),
        (_Unused, _batches(), "the control is empty"),
        (_changed(factor=np.nan), _batches(), "is not finite in step 1"),
    ],
)
def test_what_cannot_be_recorded_leaves_nothing(
    side, batches, message, tmp_path
):
    with pytest.raises(InputError, match=message):
        record(side, batches, tmp_path / "r")
    assert list(tmp_path.iterdir()) == []


def test_a_recording_is_never_written_over(recorded):
    with pytest.raises(InputError, match="exists already"):
        record(_Linear, _batches(), recorded)


def test_the_command(recorded, capsys, refused):
    of = ["--implementation", "parity_tests.test_check:_Linear"]
    assert main(["replay", str(recorded), *of]) == 0
    about, covered, verdict, *_ = capsys.readouterr().out.splitlines()
    assert about == f"Recording {recorded}"
    assert covered.startswith("Compared over 4 steps")
    assert verdict == "The port agrees with the reference."
    of = ["--implementation", "parity_tests.test_check:_NotFinite"]
    assert main(["replay", str(recorded), *of]) == 1
    assert "loss differs by inf" in capsys.readouterr().out
    refused(main, ["replay", recorded, "--implementation", "os:none"], "none")


SILENT = """
import numpy as np
from experiment.errors import InputError
from parity_tests import check_pair
from parity_tests.compare import by_kind, gap
from parity_tests.side import Key

from parity_tests.test_check import (
    _batches, _changed, _Doubled, _Extra, _Linear, _NotFinite, _Unused
)

def raises(call, error):
    try:
        call()
    except error:
        return
    raise SystemExit(f"{call.__code__.co_names} passed")

w = {"w": np.ones(1)}
raises(lambda: gap(w, {"w": np.full(1, np.nan)}), AssertionError)
raises(lambda: gap(w, {"v": np.ones(1)}), AssertionError)
raises(lambda: gap(w, w), AssertionError)
off = {"d/buffers/var": np.ones(1)}, {"d/buffers/var": np.zeros(1)}
raises(lambda: by_kind(*off), InputError)
pairs = (_Linear, _Extra), (_Linear, _Doubled), (_Unused, _Unused)
for pair in pairs:
    raises(lambda: check_pair(*pair, _batches()), InputError)
result = check_pair(_Linear, _NotFinite, _batches())
raises(result.raise_if, AssertionError)
print("all raised", __debug__)
"""


def test_silent_passes_are_errors_under_optimization():
    """Python drops assert statements with -O; no check may be one."""
    done = subprocess.run(
        [sys.executable, "-O", "-c", SILENT], capture_output=True, text=True
    )
    assert done.stdout == "all raised False\n", done.stderr


def test_a_replay_runs_no_reference(recorded):
    """It has the port alone: what it is built from is counted."""
    made = []

    def port():
        made.append(1)
        return _Linear()

    assert replay(recorded, port).ok
    assert len(made) == 1
