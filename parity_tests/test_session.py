"""The session on a rented GPU: a rehearsal of all of it, and its choices."""

import json
import sys
from dataclasses import replace

import pytest

from benchmarks import epochs, ladder, results, session
from benchmarks.__main__ import main
from benchmarks.plan import CALLS
from benchmarks.processes import Worker
from benchmarks.script import REHEARSAL
from benchmarks.variant_names import STEPS
from experiment.errors import InputError
from parity_tests.test_protocol import ANSWER, SERVE


def _stand_in(job):
    """A worker that passes, and takes a tenth of a second for each block."""
    script = SERVE.format(
        loaded={"excluded": None} if job.check else {}, answer=ANSWER,
        last=99, end="pass", compiled="0", joules=None,
    )  # fmt: skip
    return Worker(job.variant, [sys.executable, "-c", script])


def test_a_rehearsal(tmp_path, monkeypatch):
    """Every part runs; a second session adds repetitions and skips the rest."""
    monkeypatch.setitem(CALLS, "lecture", STEPS)
    # Workers start separate threads, which would wait for each other.
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    out = tmp_path / "gpu"
    command = ["gpu", "--device", "cpu", "--rehearse", "--out", str(out)]
    assert main(command) == 0
    outcomes = json.loads((out / "session.json").read_text())["parts"]
    assert set(outcomes.values()) == {"done"}
    scout, timed = (
        results.load(out / name) for name in ("scout.json", "ladder.json")
    )
    for found in (scout, timed):
        (workload,) = found["workloads"].values()
        assert len(workload["sets"]) == 1
    best = set(session.best_variants(scout))
    assert set(timed["plan"]["variants"]) == best | {f"{b} again" for b in best}
    page = (out / "epochs.md").read_text()
    assert page.count("not reached") == 2
    steps = json.loads((out / "steps-jax.json").read_text())
    assert all("lecture-float64" in name for name in steps)

    before = {
        path: path.read_text()
        for path in out.glob("*.json")
        if path.name[:5] in ("steps", "scout", "profi")
    }
    monkeypatch.setattr(ladder, "starter", lambda *_: _stand_in)
    again = replace(REHEARSAL, minutes=(9.0, -100.0))
    assert session.run(again, out, None, lambda line: None) == 0
    outcomes = json.loads((out / "session.json").read_text())["parts"]
    assert outcomes["steps"] == "done before"
    assert outcomes["epochs"] == "no time"
    (workload,) = results.load(out / "ladder.json")["workloads"].values()
    assert len(workload["sets"]) == 2
    assert all(path.read_text() == text for path, text in before.items())


def _found(**times):
    """A ladder's results of two workloads, by seconds of each variant."""
    shape = {"iterations": 1, "games": 1, "joules": []}

    def workload(i):
        variants = {
            name.replace("_", " "): {**shape, "seconds": [seconds[i]]}
            for name, seconds in times.items()
            if seconds[i] is not None
        }
        return {"refused": {}, "sets": [{"variants": variants}]}

    return {"workloads": {"a": workload(0), "b": workload(1)}}


def test_the_best_variant_is_the_fastest_over_all_workloads():
    found = _found(
        jax_scan=(1.0, 1.0),
        jax_flat=(0.5, 1.5),  # geometric mean .87
        jax_step=(0.1, None),  # excluded on one
        torch_eager=(3.0, 2.0),
        torch_graph=(2.0, 2.0),
    )
    assert session.best_variants(found) == ["jax flat", "torch graph"]
    with pytest.raises(InputError, match="no variant of torch"):
        session.best_variants(_found(jax_scan=(1.0, 1.0)))


def test_the_table_of_epochs():
    rows = [
        {"epoch": e, "mean": m, "standard_error": 2.0, "sigma": 0.2,
         "validation": v}
        for e, m, v in ((100, 224.0, 10.0), (200, 226.0, 30.0), (300, 240, 20))
    ]  # fmt: skip
    page = epochs.table({"jax": {"rows": rows}})
    cells = [c.strip() for c in page.splitlines()[-1].strip("|").split("|")]
    assert cells == ["jax", "300", "240 ± 2", "200", "226 ± 2", "200"]


def test_a_part_that_fails_is_reported(tmp_path, monkeypatch):
    """The others continue; its output is in the folder."""
    monkeypatch.setattr(session, "_ladder", lambda *_: "done")
    monkeypatch.setattr(session, "_epochs", lambda *_: "done")
    script = replace(REHEARSAL, steps="no_test_has_this_name")
    assert session.run(script, tmp_path, None, lambda line: None) == 1
    outcomes = json.loads((tmp_path / "session.json").read_text())["parts"]
    assert "ended with status" in outcomes["steps"]
    assert outcomes["profile"] == "no ladder, no best variants"
    assert outcomes["epochs"] == "done"
    assert "deselected" in (tmp_path / "steps-jax.log").read_text()


def test_another_machine_ends_the_session(tmp_path, capsys):
    found = ladder.blank(REHEARSAL.scout) | {"complete": True, "failed": None}
    found["machine"]["gpus"] = ["another"]
    (tmp_path / "scout.json").write_text(json.dumps(found))
    for twin in ("jax", "torch"):
        (tmp_path / f"steps-{twin}.json").write_text("{}")
    command = ["gpu", "--device", "cpu", "--rehearse", "--out", str(tmp_path)]
    assert main(command) == 2
    *_, last = capsys.readouterr().err.splitlines()
    assert "scout.json was measured on another machine" in last
    assert not (tmp_path / "ladder.json").exists()


def test_bad_options(tmp_path, refused):
    out = ["gpu", "--out", tmp_path / "gpu"]
    refused(main, [*out, "--rehearse"], "--device cpu")
    refused(main, [*out, "--device", "cpu"], "--rehearse")
    rehearsal = [*out, "--device", "cpu", "--rehearse"]
    refused(main, [*rehearsal, "--commit"], "measures nothing")
    assert not (tmp_path / "gpu").exists()
