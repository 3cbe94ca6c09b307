"""The watch over a run: what it calls a collapse, and what it does not."""

import json
from functools import partial

import numpy as np
import pytest

import jax_gan
import torch_ref
from benchmarks.readme import ROOT
from benchmarks.stability import load_stability
from experiment import run
from experiment.checkpoints import load_checkpoint
from experiment.chunks import CHUNK
from experiment.cli import main
from experiment.metrics_log import load_metrics
from experiment.recipes import STARTS, recipe
from experiment.watch import (
    WINDOW,
    Collapse,
    Watch,
    describe_collapse,
    spread,
)

TWINS = pytest.mark.parametrize(
    "twin", [jax_gan, torch_ref], ids=lambda twin: twin.__name__
)
DATA_SPREAD = 0.2


def _follow(real, fake, spreads, loss="non-saturating"):
    """The first collapse in a course of chunk means, or None."""
    watch = Watch(DATA_SPREAD, loss)
    for i, values in enumerate(zip(real, fake, spreads, strict=True)):
        steps = np.arange(i * CHUNK, (i + 1) * CHUNK) + 1
        measured = np.full(CHUNK, np.nan)
        measured[-1] = values[2]
        history = {
            "step": steps,
            "real_probability": np.full(CHUNK, values[0]),
            "fake_probability": np.full(CHUNK, values[1]),
            "sample_spread": measured,
        }
        if found := watch.update(history):
            return found
    return None


def _course(*pieces):
    """Chunks of (count, D(x), D(G(z)), spread), one piece after the other."""
    rows = [values for count, *values in pieces for _ in range(count)]
    return zip(*rows, strict=True)


HEALTHY = 20, 0.6, 0.4, 0.19
CERTAIN = 0.999, 0.001
# What long runs of recipe mlp showed: it recovers from the first, and never
# from the second.
CRISIS = 16, 0.95, 0.05, 0.1


def test_a_healthy_run_and_a_crisis_are_no_collapse():
    assert _follow(*_course(HEALTHY, CRISIS, HEALTHY)) is None


@pytest.mark.parametrize("chunks", [9, 11])
def test_certainty_must_last(chunks):
    course = _course(HEALTHY, (chunks, *CERTAIN, 0.19), HEALTHY)
    found = _follow(*course)
    if chunks * CHUNK < WINDOW:
        assert found is None
    else:
        assert found.sign == "D saturated"
        assert found.noticed - found.since + 1 == WINDOW
        assert 1000 < found.noticed <= 1000 + WINDOW + CHUNK


@pytest.mark.parametrize(
    ("real", "fake"), [(0.999, 0.02), (0.98, 0.001), (0.5, 0.5)]
)
def test_both_probabilities_must_be_certain(real, fake):
    assert _follow(*_course(HEALTHY, (40, real, fake, 0.19))) is None


@pytest.mark.parametrize("loss", ["hinge", "least-squares"])
def test_another_loss_than_the_papers_does_not_saturate(loss):
    """D tells samples from data there, too, while G still learns."""
    assert _follow(*_course((40, *CERTAIN, 0.19)), loss) is None
    found = _follow(*_course((40, *CERTAIN, 0.01 * DATA_SPREAD)), loss)
    assert found.sign == "one image"


def test_one_image():
    flat, start = 0.01 * DATA_SPREAD, 20 * CHUNK
    found = _follow(*_course(HEALTHY, (11, 0.6, 0.4, flat)))
    assert found == Collapse(start + 1, start + WINDOW, "one image")
    # One sample set that varies is enough of a sign of life.
    course = _course((9, 0.6, 0.4, flat), (1, 0.6, 0.4, 0.1))
    assert _follow(*course) is None
    assert _follow(*_course((40, 0.6, 0.4, 0.03 * DATA_SPREAD))) is None


def test_nothing_is_said_of_a_short_run():
    assert _follow(*_course((9, *CERTAIN, 0.0))) is None


def test_spread():
    same = np.full((5, 28, 28, 1), 0.3, np.float32)
    assert spread(same) == 0
    noise = np.random.default_rng(0).normal(size=(2000, 10))
    assert abs(spread(noise) - 1) < 0.05


def test_what_helps_is_what_the_run_does_not_do_yet():
    collapse = Collapse(51, 550, "D saturated")
    lecture = recipe("lecture", loss="saturating")
    found = describe_collapse(collapse, lecture)
    for remedy in ("--loss non-saturating", "--b2 .99", "--recipe digits"):
        assert remedy in found
    fast = recipe("lecture", learning_rate=0.5)
    found = describe_collapse(collapse, fast)
    assert "the recipe's --learning-rate 0.001" in found
    found = describe_collapse(collapse, recipe("digits"))
    assert found.endswith(f"What helps: another --seed. {STARTS['digits']}")
    # No starts were tried of this experiment.
    found = describe_collapse(collapse, recipe("digits", loss="hinge"))
    assert found.endswith("What helps: another --seed")
    longer = recipe("digits", seed=3, steps=9)
    assert str(STARTS["digits"]) in describe_collapse(collapse, longer)


@pytest.mark.parametrize("name", STARTS)
def test_starts_are_those_of_the_committed_studies(name):
    suffix = "" if name == "digits" else f"-{name}"
    path = ROOT / f"benchmarks/stability{suffix}.json"
    study = load_stability(path)
    runs = study["runs"]
    signs = [one["collapse"]["sign"] for one in runs if one["collapse"]]
    diverged = signs.count("diverged")
    collapsed = len(signs) - diverged
    steps = study["config"]["steps"]
    assert STARTS[name] == (name, len(runs), collapsed, diverged, steps)


def test_no_run_of_the_committed_study_is_named():
    """Its healthy runs, and what the watch said while they were trained."""
    runs = load_stability(ROOT / "benchmarks/stability.json")["runs"]
    assert len(runs) >= 60
    for one in runs:
        course = one["course"]
        names = "real_probability", "fake_probability", "sample_spread"
        assert one["collapse"] is None
        assert _follow(*(course[name] for name in names)) is None


COLLAPSES = [
    "--recipe",
    "lecture",
    "--loss",
    "saturating",
    "--sample-every",
    500,
]


@TWINS
def test_a_run_that_collapses(twin, tmp_path, capsys):
    """The minimax loss of recipe lecture: D is certain after 800 iterations."""
    out = tmp_path / "run"
    command = partial(_run, twin)
    assert command("train", *COLLAPSES, "--steps", 1600, "--out", out) == 0
    said = capsys.readouterr().err
    found = run.load_collapse(out)
    assert said.count("collapsed at iteration") == 1
    assert f"{found.since:,} (D saturated)" in said
    rows = load_metrics(out)
    real, fake = (
        rows[f"{kind}_probability"].reshape(-1, CHUNK).mean(1)
        for kind in ("real", "fake")
    )
    alive = np.flatnonzero((real < 0.99) | (fake > 0.01))[-1]
    assert found.noticed <= (alive + 1) * CHUNK + 1000

    # The folder repeats it, and a resumed run does not say it twice.
    assert command("info", "--run", out) == 0
    assert f"collapsed at iteration {found.since:,}" in capsys.readouterr().out
    assert command("train", "--resume", out, "--steps", 1650) == 0
    assert "collapsed" not in capsys.readouterr().err
    assert run.load_collapse(out) == found


def test_stop_when_collapsed(tmp_path, capsys, refused):
    out = tmp_path / "run"
    options = ["--steps", 5000, "--out", out, "--stop-when-collapsed"]
    assert _run(jax_gan, "train", *COLLAPSES, *options) == 1
    found = run.load_collapse(out)
    step = load_checkpoint(out).step
    assert step == found.noticed < 2000
    shown = capsys.readouterr()
    assert "The run ends here (--stop-when-collapsed)" in shown.err
    assert f"{out}/samples/{step:06d}.png" in shown.out.split()
    assert (out / "samples" / f"{step:06d}.png").exists()
    # Whoever repeats the command on a failure does not train a dead game.
    again = ["train", "--resume", out, "--stop-when-collapsed"]
    refused(partial(main, "jax_gan"), again, "collapsed", "leave")


def test_a_collapse_in_the_last_iterations_is_a_failure(tmp_path):
    out = tmp_path / "run"
    options = ["--steps", 1350, "--out", out, "--stop-when-collapsed"]
    assert _run(jax_gan, "train", *COLLAPSES, *options) == 1


def test_a_run_of_earlier_versions_is_watched_from_its_start(tmp_path, capsys):
    """Its metrics are there; its collapse was not written down."""
    out = tmp_path / "run"
    assert (
        _run(jax_gan, "train", *COLLAPSES, "--steps", 1600, "--out", out) == 0
    )
    found = run.load_collapse(out)
    (out / "collapse.json").unlink()
    capsys.readouterr()
    assert _run(jax_gan, "train", "--resume", out, "--steps", 1601) == 0
    assert f"iteration {found.since:,}" in capsys.readouterr().err
    assert run.load_collapse(out) == found


def test_a_checkpoint_before_the_collapse_forgets_it(tmp_path):
    out = tmp_path / "run"
    assert _run(jax_gan, "train", *COLLAPSES, "--steps", 50, "--out", out) == 0
    run.save_collapse(out, Collapse(51, 550, "D saturated"))
    assert _run(jax_gan, "train", "--resume", out, "--steps", 100) == 0
    assert run.load_collapse(out) is None


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"since": 5, "noticed": 4, "sign": "one image"}',
        '{"since": 1, "noticed": 500, "sign": "?"}',
        '{"since": "1", "noticed": "2", "sign": "one image"}',
    ],
)
def test_damaged_collapse_file(content, tmp_path, refused, capsys):
    out = tmp_path / "run"
    assert _run(jax_gan, "train", *COLLAPSES, "--steps", 2, "--out", out) == 0
    capsys.readouterr()
    path = out / "collapse.json"
    path.write_text(content)
    command = partial(main, "jax_gan")
    refused(command, ["train", "--resume", out, "--steps", 4], path, "remove")
    assert path.read_text() == content


def test_metrics_have_the_spread_of_the_samples(tmp_path):
    out = tmp_path / "run"
    assert _run(jax_gan, "train", *COLLAPSES, "--steps", 120, "--out", out) == 0
    lines = (out / "metrics.jsonl").read_text().splitlines()
    measured = {row["step"] for row in map(json.loads, lines) if _has(row)}
    assert measured == {50, 100, 120}


def _has(row):
    return "sample_spread" in row


def _run(twin, *arguments):
    return main(twin.__name__, [str(argument) for argument in arguments])
