"""The quick look: its table and its line, by workers that are stand-ins."""

import sys

import pytest

from benchmarks import ladder, quick
from benchmarks.__main__ import main
from benchmarks.plan import HEADLINE
from benchmarks.processes import Worker
from benchmarks.quick import WORKLOADS
from benchmarks.results import load
from parity_tests.test_protocol import ANSWER

# Passes its gates, or gets ready and says so many seconds for each block.
WORKER = """
import json, sys
print(json.dumps({first}), flush=True)
next(sys.stdin)
print("{{}}", flush=True)
next(sys.stdin)
print(json.dumps({ready}), flush=True)
for i, _ in enumerate(sys.stdin):
    if i == {last}:
        sys.exit(3)
    answer = dict(seconds={seconds} * (1 + i % 2), joules=None, compiled=0)
    print(json.dumps(answer), flush=True)
"""
SECONDS = {"jax": 0.1, "torch": 0.25}


@pytest.fixture
def stand_ins(monkeypatch, tmp_path):
    """Puts stand-ins for the workers: who is refused, or dies at a block."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ladder, "_busy", lambda: 0.0)
    started = []

    def put(refused=(), **dies):
        def start(job):
            started.append(job)
            of = job.variant, job.recipe
            first = {"refused": "it is wrong" if of in refused else None}
            script = WORKER.format(
                first=first if job.check else {},
                ready=ANSWER | {"settings": {"threads": 2}},
                last=dies.get(job.recipe, 99),
                seconds=SECONDS[job.variant.partition(" ")[0]],
            )
            return Worker(job.variant, [sys.executable, "-c", script])

        monkeypatch.setattr(ladder, "starter", lambda *_: start)
        return started

    return put


def _rows(shown):
    """The table's cells, by recipe."""
    return {
        line.split(",")[0]: line.split()[3:]
        for line in map(str.strip, shown.splitlines())
        if line.startswith(WORKLOADS)
    }


def test_table_and_line(stand_ins, tmp_path, capsys):
    started = stand_ins()
    assert main(["quick"]) == 0
    shown = capsys.readouterr()
    # Ten iterations in a block; its median is that of 1, 2, 1, 2, 1 times.
    assert _rows(shown.out) == {
        "lecture": ["6,400", "2,560", "2.50"],
        "mlp": ["10,000", "4,000", "2.50"],
        "dcgan": ["6,400", "2,560", "2.50"],
    }
    assert "torch 2." in shown.out
    assert "Settings of jax scan: threads 2." in shown.out
    last = shown.out.splitlines()[-1]
    assert "lecture 6,400 / 2,560 = 2.50, mlp 10,000 / 4,000 = 2.50" in last
    for verdict in ("faster", "slower", "tie", "%"):
        assert verdict not in shown.out
    assert "gates of 6 variants" in shown.err
    assert not list(tmp_path.iterdir())
    # By the protocol of the ladder: each has a process, and its gates before.
    assert [job.check for job in started] == [True] * 6 + [False] * 6


def test_what_disturbed_it_is_said(stand_ins, monkeypatch, capsys):
    stand_ins()
    monkeypatch.setattr(ladder, "_busy", lambda: 0.4)
    monkeypatch.setitem(ANSWER, "settled", False)
    assert main(["quick"]) == 0
    shown = capsys.readouterr().out
    assert "Others had 40% of the machine: measure again" in shown
    assert shown.splitlines()[-1].endswith("; others had 40% of the machine")
    assert "Not steady to 2 % at first: jax scan on lecture, torch" in shown


def test_out_is_a_file_of_the_ladder(stand_ins, tmp_path):
    stand_ins()
    out = tmp_path / "runs" / "quick.json"
    assert main(["quick", "--out", str(out)]) == 0
    results = load(out)
    assert results["complete"]
    assert list(results["workloads"]) == list(WORKLOADS)


def test_a_form_that_is_refused_and_a_worker_that_dies(
    stand_ins, tmp_path, capsys
):
    stand_ins(refused={("torch eager", "lecture")}, mlp=1)
    assert main(["quick"]) == 1
    shown = capsys.readouterr()
    assert _rows(shown.out) == {
        "lecture": ["6,400", "refused"],
        "mlp": ["10,000", "4,000", "2.50"],  # one round
        "dcgan": ["not", "timed", "not", "timed"],
    }
    assert "torch eager is refused on lecture: it is wrong." in shown.out
    assert "nothing is kept without --out" in shown.err
    assert "mlp 10,000 / 4,000 = 2.50;" in shown.out
    assert not list(tmp_path.iterdir())


def test_nothing_is_shown_where_nothing_was_timed(stand_ins, capsys):
    stand_ins(lecture=0)
    assert main(["quick"]) == 1
    shown = capsys.readouterr()
    assert not shown.out
    assert "nothing was timed before" in shown.err
    every = {(form, name) for form in HEADLINE["cpu"] for name in WORKLOADS}
    stand_ins(refused=every)
    assert main(["quick"]) == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert "every variant is refused" in shown.err


def test_the_best_forms_of_a_device():
    for device in ("cpu", "gpu"):
        plan = quick.plan(device, 5)
        assert plan.variants == HEADLINE[device]
        assert plan.sets == 1
    assert plan.matmul == "tf32"


def test_bad_options(tmp_path, refused):
    refused(main, ["quick", "--budget", "0"], "--budget is 0")
    refused(main, ["quick", "--device", "tpu"], "'tpu'", "gpu")
    refused(main, ["quick", "--out", tmp_path], tmp_path, "name a file")
    assert not list(tmp_path.iterdir())
