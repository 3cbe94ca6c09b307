"""The stability study: its runs, tables and statistics."""

import doctest
import fcntl
import json
import signal
import subprocess
import sys
from concurrent.futures import Future
from dataclasses import asdict
from importlib import import_module

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from scipy import stats

from benchmarks import stability, stability_study
from benchmarks.__main__ import main
from benchmarks.equivalence import (
    MARGINS,
    Margin,
    clopper_pearson,
    compare,
    difference_of_means,
)
from benchmarks.schema import write_json
from benchmarks.stability_plot import plot
from benchmarks.stability_report import tables, usual, write
from experiment.chunks import CHUNK
from experiment.errors import InputError
from experiment.lock import hold
from experiment.recipes import recipe
from experiment.scores import shows_digits

LECTURE = ["stability", "--recipe", "lecture"]
RUN = [*LECTURE, "--seeds", "1", "--perturbed", "1", "--steps", "20"]


def test_makes_only_the_runs_that_are_missing(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # which the command sets too
    out = tmp_path / "study" / "lecture.json"
    command = [*RUN, "--jobs", "1", "--out", str(out)]
    assert main(command) == 0
    shown = capsys.readouterr().out
    results = json.loads(out.read_text())
    of = {
        (run["twin"], run["seed"], run["perturbed"]): run
        for run in results["runs"]
    }
    assert len(results["runs"]) == 4
    assert set(of) == {
        (twin, 0, n) for twin in ("JAX", "PyTorch") for n in (0, 1)
    }
    # The twins have the same initial weights and random numbers.
    for name, values in of["JAX", 0, 0]["course"].items():
        assert of["PyTorch", 0, 0]["course"][name] == pytest.approx(
            values, abs=1e-3
        )
    # One ulp changes the samples, and changes them little.
    for twin in ("JAX", "PyTorch"):
        moved, plain = (
            of[twin, 0, n]["scores"]["frechet_distance"] for n in (1, 0)
        )
        assert moved != plain
        assert moved == pytest.approx(plain, rel=1e-3)
    assert tables(results) in shown
    for suffix in (".md", ".png"):
        assert str(out.with_suffix(suffix)) in shown
    assert len(list(out.parent.iterdir())) == 3
    assert tables(results) in out.with_suffix(".md").read_text()

    missing = of["PyTorch", 0, 0]
    results["runs"].remove(missing)
    del results["sha256"]
    write_json(out, results)
    assert main(command) == 0
    captured = capsys.readouterr()
    assert captured.out == shown
    assert captured.err.count("Fréchet") == 1
    assert "1/1  PyTorch, seed 0:" in captured.err
    (found,) = (
        run
        for run in json.loads(out.read_text())["runs"]
        if run not in results["runs"]
    )
    assert found | {"seconds": 0} == missing | {"seconds": 0}


def test_a_stopped_study_is_resumed(tmp_path, monkeypatch, capsys):
    """SIGTERM, as a scheduler sends it, after the first run of a command."""
    made = {
        stability.Run(*(run[name] for name in stability.Run._fields)): run
        for run in _results(seeds=1, perturbed=1)["runs"]
    }
    asked = []

    class Pool:
        def __init__(self, *_, **__):
            asked.append([])

        def submit(self, _, plan, run):
            asked[-1].append(run)
            future = Future()
            future.set_result(made[run])
            return future

        def shutdown(self, **_):
            pass

    def first_completed(futures):
        yield next(iter(futures))
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(stability_study, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(stability_study, "as_completed", first_completed)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # which the command sets too
    handler = signal.getsignal(signal.SIGTERM)
    out = tmp_path / "lecture.json"
    for done in (1, 2):
        assert main([*RUN, "--out", str(out)]) == 128 + signal.SIGTERM
        assert (
            f"stopped; {out} has {done} of 4 runs, the same command makes the "
            "others"
        ) in capsys.readouterr().err
        assert len(json.loads(out.read_text())["runs"]) == done
    runs = stability.plan_runs(1, 1)
    assert asked == [runs, runs[1:]]
    assert signal.getsignal(signal.SIGTERM) is handler
    assert list(tmp_path.iterdir()) == [out]


def test_bad_input_changes_no_file(tmp_path, refused):
    out = tmp_path / "lecture.json"
    config = recipe("lecture", steps=20)
    kept = _results(seeds=1, name="lecture")
    kept["config"] = json.loads(json.dumps(asdict(config)))
    before = json.dumps(kept)
    out.write_text(before)
    there = ["--out", out]
    refused(main, [*RUN, "--seeds", "0", *there], "--seeds is 0", "1")
    refused(main, [*RUN, "--perturbed", "-1", *there], "--perturbed is -1")
    refused(main, [*RUN, "--steps", "0", *there], "steps is 0", "1")
    refused(main, [*RUN, "--jobs", "0", *there], "--jobs is 0", "1")
    refused(main, [*RUN, "--recipe", "none", *there], "'none'", "lecture")
    refused(main, [*RUN, "--recipe", "figure1", *there], "gaussian", "mnist5k")
    another = out, "another --out"
    refused(main, [*RUN, "--recipe", "mlp", *there], "recipe", *another)
    refused(main, [*RUN, "--steps", "30", *there], "steps", "20", *another)
    refused(main, [*RUN, "--data-dir", tmp_path, *there], "mnist5k", *another)
    assert out.read_text() == before

    for text in (json.dumps(kept | {"version": 0}), before[:99], "[]", "{}"):
        out.write_text(text)
        refused(main, [*RUN, *there], *another)
        assert out.read_text() == text
    assert list(tmp_path.iterdir()) == [out]

    folder = tmp_path / "folder.json"
    folder.mkdir()
    refused(main, [*RUN, "--out", folder], folder, "is a folder")
    # The page has this name, and would replace the measurements.
    refused(main, [*RUN, "--out", tmp_path / "study.md"], "study.md", ".json")
    missing = tmp_path / "missing"
    refused(main, [*RUN, "--seeds", "0", "--out", missing / "x.json"])
    assert not missing.exists()


def test_data_are_there_before_a_process_starts(tmp_path, refused, monkeypatch):
    monkeypatch.setattr(stability_study, "ProcessPoolExecutor", None)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # which the command sets too
    paper = ["stability", "--recipe", "paper", "--out", tmp_path / "x.json"]
    refused(main, paper, "data mnist needs --data-dir")
    nowhere = tmp_path / "nowhere"
    refused(main, [*paper, "--data-dir", nowhere], nowhere, "--download")
    assert not list(tmp_path.iterdir())


HOLDER = """
import sys
from pathlib import Path
from experiment.lock import hold

with hold(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_command_at_a_time(tmp_path, refused, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # which the command sets too
    out = tmp_path / "lecture.json"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, out],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        refused(main, [*RUN, "--out", out], out, "is writing it")
        with hold(tmp_path / "other.json"):
            pass
        holder.kill()
        holder.wait()
    # What it left behind locks nobody out, and goes with the next.
    assert [path.name for path in tmp_path.iterdir()] == ["lecture.json.lock"]
    with hold(out):
        with pytest.raises(InputError), hold(out):
            pass
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_removed_while_it_is_locked(tmp_path, monkeypatch):
    """Between opening it and locking it: the lock would be on no file."""
    lock_file, flock = tmp_path / "x.json.lock", fcntl.flock
    locked = []

    def late(file, operation):
        if not locked:
            lock_file.unlink()
        locked.append(file)
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with hold(tmp_path / "x.json"):
        assert lock_file.exists()
        assert len(locked) == 2
    assert not lock_file.exists()


# Statistics


@pytest.mark.parametrize(
    "name",
    [
        "equivalence",
        "plan",
        "results",
        "spans",
        "stability",
        "statistics",
        "variant_names",
    ],
)
def test_examples_hold(name):
    found = doctest.testmod(import_module(f"benchmarks.{name}"))
    assert found.attempted
    assert not found.failed


def test_clopper_pearson_is_exact():
    low, high = clopper_pearson(0, 60)
    assert low == 0
    assert high == pytest.approx(0.0596, abs=5e-5)
    assert clopper_pearson(60, 60) == pytest.approx((1 - high, 1))
    low, high = clopper_pearson(3, 20, confidence=0.9)
    assert stats.binom.sf(2, 20, low) == pytest.approx(0.05)
    assert stats.binom.cdf(3, 20, high) == pytest.approx(0.05)


def test_interval_is_welchs():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(3, 1, 7), rng.normal(4, 5, 20)
    test = stats.ttest_ind(theirs, ours, equal_var=False)
    found = difference_of_means(ours, theirs)
    assert found.estimate == pytest.approx(theirs.mean() - ours.mean())
    assert found[1:] == pytest.approx(tuple(test.confidence_interval(0.9)))
    with pytest.raises(ValueError, match="two"):
        difference_of_means([1.0], [1.0, 2.0])


@pytest.mark.filterwarnings("error")
def test_twins_without_variance_differ_exactly():
    margin = MARGINS["digits"]
    assert compare(margin, [10.0] * 20, [10.0] * 20) == ((0, 0, 0), True)
    assert compare(margin, [10.0] * 20, [9.0] * 20) == ((-1, -1, -1), False)
    # A difference as large as the margin is not within it.
    assert not compare(margin, [10.0] * 20, [9.5] * 20)[1]
    # One twin varies: Welch's interval again.
    found, is_equivalent = compare(margin, [10.0] * 20, [10.0] * 19 + [9.0])
    assert found.low < found.estimate < found.high
    assert is_equivalent


@pytest.mark.parametrize("name", MARGINS)
def test_equivalence_of_each_metric(name):
    margin = MARGINS[name]
    noise = np.linspace(-1, 1, 20)
    if margin.is_ratio:
        ours = np.exp(0.05 * noise)
        shifted = {end: ours * end for end in (margin.low, margin.high)}
        wild = np.exp(1.0 * noise)
    else:
        ours = margin.high / 10 * noise
        shifted = {end: ours + end for end in (margin.low, margin.high)}
        wild = 10 * margin.high * noise
    assert compare(margin, ours, ours)[1]
    for end, theirs in shifted.items():
        interval, is_equivalent = compare(margin, ours, theirs)
        assert interval.estimate == pytest.approx(end)
        assert not is_equivalent
    # Equal means, of which so few runs say too little.
    assert not compare(margin, wild, wild)[1]


@pytest.mark.parametrize("end", ["low", "high"])
def test_a_false_claim_of_equivalence_is_as_rare_as_it_says(end):
    """At an end of the margin 5 % of studies claim it, of 4,000 within 1 %."""
    margin, rng = Margin("", -1, 1, ""), np.random.default_rng(0)
    studies = rng.standard_normal((4_000, 2, 20))
    studies[:, 1] += getattr(margin, end)
    claims = [compare(margin, *study)[1] for study in studies]
    assert np.mean(claims) == pytest.approx(0.05, abs=0.01)


# The report

GOOD = {
    "frechet_distance": 30.0,
    "digits": 10,
    "largest_share": 0.15,
    "confidence": 0.92,
}


@pytest.mark.parametrize(
    ("name", "edge", "beyond"),
    [
        ("frechet_distance", 45.0, 45.1),
        ("digits", 10, 9),
        ("largest_share", 0.25, 0.26),
        ("confidence", 0.88, 0.87),
    ],
)
def test_samples_that_show_digits(name, edge, beyond):
    assert shows_digits(GOOD | {name: edge})
    assert not shows_digits(GOOD | {name: beyond})


def _results(seeds=20, perturbed=0, name="digits", factor=1.0):
    """Runs that succeed, PyTorch's Fréchet distances larger by a factor."""
    rng = np.random.default_rng(0)
    step = list(range(CHUNK, 11 * CHUNK, CHUNK))
    runs = []
    for twin in ("JAX", "PyTorch"):
        starts = [(seed, 0) for seed in range(seeds)]
        starts += [(0, n) for n in range(1, perturbed + 1)]
        for seed, number in starts:
            distance = 30 * np.exp(0.05 * rng.standard_normal())
            if twin == "PyTorch":
                distance *= factor
            course = {
                "step": step,
                "real_probability": [0.7] * 10,
                "fake_probability": [0.4] * 10,
                "sample_spread": [0.3] * 10,
            }
            run = stability.Run(twin, seed, number)._asdict()
            run |= {"seconds": 9.0, "collapse": None, "machine": 0}
            run |= {"course": course, "margin": stability.margins(course)}
            run["scores"] = GOOD | {"frechet_distance": float(distance)}
            runs.append(run)
    machine = {"cpu": "a processor", "cores": 2, "versions": {"jax": "1"}}
    return {
        "schema": stability.SCHEMA,
        "version": stability.VERSION,
        "recipe": name,
        "config": {"precision": "float32", "compute": "full", "steps": 2_500},
        "judged_by": "mnist5k",
        "machines": [machine],
        "runs": runs,
    }


def _rows(page):
    """Cells of every line of a table, by its first two."""
    lines = [line.strip("| ").split(" | ") for line in page.splitlines()]
    return {tuple(cells[:2]): cells[2:] for cells in lines if len(cells) > 2}


def test_tables_count_the_runs():
    results = _results(seeds=20, perturbed=10)
    collapsed, bad = results["runs"][0], results["runs"][-1]
    collapsed["collapse"] = {"since": 1, "noticed": 500, "sign": "one image"}
    collapsed["scores"] |= {"digits": 1, "largest_share": 1.0}
    bad["scores"] |= {"confidence": 0.5, "frechet_distance": 99.0}
    bad["margin"] = {"worst": 0.9, "final": 0.8}
    page = tables(results)
    rows = _rows(page)
    assert rows["JAX", "seeds"][:5] == ["20", "1", "19", "1", "1.00"]
    assert rows["JAX", "one ulp from seed 0"][:3] == ["10", "0", "10"]
    assert rows["PyTorch", "seeds"][:5] == ["20", "0", "20", "10", "0.15"]
    of_bad = rows["PyTorch", "one ulp from seed 0"]
    assert of_bad[:3] == ["10", "0", "9"]
    assert of_bad[5] == "0.92 (0.50)"
    assert of_bad[6].endswith("to 99.0)")
    assert of_bad[7:] == ["0.90", "0.30"]
    assert rows["all", ""][:5] == ["60", "1", "58", "1", "1.00"]
    assert "a processor, 2 cores; jax 1; float32; 2,500 iterations" in page
    assert "1,000 samples" in page
    assert "mnist5k" in page


def _diverge(run):
    """Makes a run one whose losses became infinite or NaN."""
    run |= {"scores": None, "margin": None}
    run["collapse"] = {"since": 37, "noticed": 37, "sign": "diverged"}
    run["course"] = {name: values[:2] for name, values in run["course"].items()}


def test_a_run_that_diverges_has_collapsed(tmp_path):
    results = _results(20, perturbed=10)
    others = _rows(tables(results))
    _diverge(results["runs"][0])
    page = tables(results)
    rows = _rows(page)
    assert rows["JAX", "seeds"][:4] == ["20", "1 (1 diverged)", "19", "10"]
    assert rows["all", ""][:4] == ["60", "1 (1 diverged)", "59", "10"]
    assert rows["PyTorch", "seeds"] == others["PyTorch", "seeds"]
    failures = "failures (collapsed, diverged or made no digits): 1."
    assert failures in page
    assert "is not tested" in page
    assert not _verdicts(results)
    results["recipe"] = "lecture"
    assert "failures (collapsed or diverged): 1." in tables(results)
    assert usual(results)[0] == "usual, 59 runs"

    out = tmp_path / "digits.json"
    out.write_text(json.dumps(results))
    assert stability.load_stability(out) == results
    summary = stability.summary(results["runs"][0])
    assert summary == "diverged in iteration 37, 9 s"
    results["runs"][0]["margin"] = {"worst": 0.1, "final": 0.1}
    out.write_text(json.dumps(results))
    with pytest.raises(InputError, match="a margin is not that"):
        stability.load_stability(out)


def test_a_study_whose_runs_all_diverge(tmp_path):
    results = _results(1)
    for run in results["runs"]:
        _diverge(run)
    page, _ = write(tmp_path / "digits.json", results)
    row = _rows(page.read_text())["all", ""]
    assert row[:3] == ["2", "2 (2 diverged)", "0"]
    assert not "".join(row[3:]).strip()


@pytest.mark.parametrize("twin", stability.TWINS)
def test_a_diverging_run_ends_itself_alone(twin):
    wild = {"optimizer": "sgd", "learning_rate": 1e30, "steps": 20}
    plan = stability.Plan(recipe("lecture", **wild), None, False)
    found = stability_study.train_and_judge(plan, stability.Run(twin, 3))
    assert found["scores"] is None
    assert found["margin"] is None
    collapse = found["collapse"]
    assert collapse["sign"] == "diverged"
    assert 1 <= collapse["since"] == collapse["noticed"] <= 20
    assert found["course"].keys() == {
        "step",
        "real_probability",
        "fake_probability",
        "sample_spread",
    }


def test_failure_rate():
    assert "0.0% to 6.0%" in tables(_results(20, perturbed=10))
    results = _results(20, perturbed=10)
    results["runs"][0]["scores"]["digits"] = 9
    low, high = clopper_pearson(1, 60)
    page = tables(results)
    assert "Runs: 60; failures (collapsed or made no digits): 1." in page
    assert f"{low:.1%} to {high:.1%}" in page
    # Of another recipe it is no failure to lack a digit, a collapse is.
    results["recipe"] = "lecture"
    assert "failures (collapsed): 0." in tables(results)
    results["runs"][0]["collapse"] = {"since": 1}
    assert "failures (collapsed): 1." in tables(results)


def _verdicts(results):
    return [
        line.strip("| ").split(" | ")[-1]
        for line in tables(results).splitlines()
        if line.startswith(tuple(f"| {of.metric}, " for of in MARGINS.values()))
    ]


def test_equivalence_is_of_the_seeds():
    equal = ["equivalent"] * len(MARGINS)
    results = _results(20, perturbed=10)
    assert _verdicts(results) == equal
    for run in results["runs"]:
        if run["perturbed"] and run["twin"] == "JAX":
            run["scores"] = dict.fromkeys(GOOD, 1)
            run["margin"] = {"worst": 1.0, "final": 1.0}
    assert _verdicts(results) == equal
    others = _verdicts(_results(factor=1.3))
    assert others == ["not shown equivalent", *equal[1:]]
    results = _results()
    results["runs"].pop()
    assert not _verdicts(results)
    assert "20 seeds of each; this study has 19." in tables(results)


def test_plot(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        Figure, "savefig", lambda of, *_, **__: drawn.append(of)
    )
    results = _results(2, perturbed=1)
    results["runs"][0]["collapse"] = {"since": 1}
    plot(tmp_path / "plot.png", results)
    jax, pytorch = drawn[0].axes
    for axis, dashed in ((jax, 2), (pytorch, 0)):
        # D(x) and D(G(z)) of three runs, and the line at .5.
        assert len(axis.lines) == 7
        styles = [line.get_linestyle() for line in axis.lines]
        assert styles.count("--") == dashed
        assert axis.get_ylim() == (0, 1)
    assert jax.get_title() == "JAX, runs: 3, collapsed: 1"
    _diverge(results["runs"][1])
    plot(tmp_path / "plot.png", results)
    title = drawn[1].axes[0].get_title()
    assert title == "JAX, runs: 3, collapsed: 2 (1 diverged)"
    course = results["runs"][-1]["course"]
    for line, name in zip(pytorch.lines[4:6], ("real", "fake"), strict=True):
        assert list(line.get_ydata()) == course[f"{name}_probability"]


def test_page_and_plot_of_one_twin(tmp_path):
    """A study that was stopped may have runs of one twin only."""
    results = _results(1)
    results["runs"] = results["runs"][:1]
    page, figure = write(tmp_path / "digits.json", results)
    assert page.read_text().count(figure.name) == 1
    assert ("PyTorch", "seeds") not in _rows(page.read_text())
    assert Image.open(figure).format == "PNG"
