"""The quick comparison: its table and its line, by stand-in workers."""

import sys

import pytest

from benchmarks import background, ladder
from benchmarks.__main__ import main
from benchmarks.plan import HEADLINE
from benchmarks.processes import Worker
from benchmarks.quick import WORKLOADS
from benchmarks.results import load
from parity_tests.test_protocol import ANSWER

# Passes its checks, or gets ready and answers these seconds for each block.
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
    """Replaces the workers: some are excluded, or die at a block."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(background, "measure_background", lambda: 0.0)
    started = []

    def put(excluded=(), **dies):
        def start(job):
            started.append(job)
            of = job.variant, job.recipe
            first = {"excluded": "it is wrong" if of in excluded else None}
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
    assert "validity checks of 6 variants" in shown.err
    assert not list(tmp_path.iterdir())
    # By the protocol of the ladder: each has a process, and is checked before.
    assert [job.check for job in started] == [True] * 6 + [False] * 6


def test_what_disturbed_it_is_said(stand_ins, monkeypatch, capsys):
    stand_ins()
    monkeypatch.setattr(background, "measure_background", lambda: 0.4)
    monkeypatch.setitem(ANSWER, "settled", False)
    assert main(["quick"]) == 0
    shown = capsys.readouterr().out
    assert "Background load 40%: measure again on an idle machine." in shown
    assert shown.splitlines()[-1].endswith("; background load 40%")
    assert (
        "varied by more than 2 % at first: jax scan on lecture, torch" in shown
    )


def test_out_is_a_file_of_the_ladder(stand_ins, tmp_path):
    stand_ins()
    out = tmp_path / "runs" / "quick.json"
    assert main(["quick", "--out", str(out)]) == 0
    results = load(out)
    assert results["complete"]
    assert list(results["workloads"]) == list(WORKLOADS)


def test_a_variant_that_is_excluded_and_a_worker_that_dies(
    stand_ins, tmp_path, capsys
):
    stand_ins(excluded={("torch eager", "lecture")}, mlp=1)
    assert main(["quick"]) == 1
    shown = capsys.readouterr()
    assert _rows(shown.out) == {
        "lecture": ["6,400", "excluded"],
        "mlp": ["10,000", "4,000", "2.50"],  # one round
        "dcgan": ["not", "timed", "not", "timed"],
    }
    assert "torch eager is excluded on lecture: it is wrong." in shown.out
    assert "nothing is kept without --out" in shown.err
    assert "mlp 10,000 / 4,000 = 2.50;" in shown.out
    assert not list(tmp_path.iterdir())


def test_nothing_is_shown_where_nothing_was_timed(stand_ins, capsys):
    stand_ins(lecture=0)
    assert main(["quick"]) == 1
    shown = capsys.readouterr()
    assert not shown.out
    assert "nothing was timed before" in shown.err
    every = {(v, name) for v in HEADLINE["cpu"] for name in WORKLOADS}
    stand_ins(excluded=every)
    assert main(["quick"]) == 2
    shown = capsys.readouterr()
    assert not shown.out
    assert "every variant is excluded" in shown.err


def test_bad_options(tmp_path, refused):
    refused(main, ["quick", "--budget", "0"], "--budget is 0")
    refused(main, ["quick", "--device", "tpu"], "'tpu'", "gpu")
    refused(main, ["quick", "--out", tmp_path], tmp_path, "name a file")
    assert not list(tmp_path.iterdir())
