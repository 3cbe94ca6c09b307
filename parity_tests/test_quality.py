"""The study of the samples' quality: what it measures, keeps and claims."""

import json

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.quality import LOSSES
from benchmarks.quality_report import METRICS, tables
from benchmarks.schema import write_json
from benchmarks.stability import TWINS
from experiment.lock import hold

STUDY = ["quality", "--recipes", "lecture", "--steps", "2", "--seeds", "2"]


def test_resumes_where_it_stopped(tmp_path, capsys, refused):
    out = tmp_path / "study.json"
    assert main([*STUDY, "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    results = json.loads(out.read_text())
    of = {
        tuple(run[k] for k in ("loss", "twin", "seed"))
        for run in results["runs"]
    }
    assert len(results["runs"]) == len(of) == 8
    for loss in LOSSES:
        assert f"lecture, {loss}" in shown

    # One run is missing: only that is made, bit-identical.
    missing = results["runs"].pop()
    del results["sha256"]
    write_json(out, results)
    assert main([*STUDY, "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert captured.out == shown
    assert captured.err.count("seed") == 1
    assert json.loads(out.read_text())["runs"][-1] == missing

    before = out.read_text()
    refused(main, [*STUDY[:-3], "3", *STUDY[-2:], "--out", out], out, "another")
    refused(main, [*STUDY[:-1], "1", "--out", out], "--seeds is 1", "2")
    refused(main, ["quality", "--recipes", "figure1", "--out", out], "figure1")
    assert out.read_text() == before
    out.write_text(before[:100])
    refused(main, [*STUDY, "--out", out], out, "remove it")
    with hold(out):
        refused(main, [*STUDY, "--out", out], out, "is writing it")


def _study(saturating, non_saturating):
    """With these mean distances (JAX, PyTorch), standard deviation 5 %."""
    rng = np.random.default_rng(0)
    means = dict(zip(LOSSES, (saturating, non_saturating), strict=True))
    runs = []
    for loss in LOSSES:
        for twin, mean in zip(TWINS, means[loss], strict=True):
            for seed in range(8):
                scores = dict.fromkeys(METRICS, 1.0)
                distance = mean * np.exp(0.05 * rng.standard_normal())
                scores["frechet_distance"] = float(distance)
                run = {"recipe": "mlp", "loss": loss, "twin": twin}
                runs.append({**run, "seed": seed, "scores": scores})
    machine = {"cpu": "one", "cores": 2, "versions": {}, "python": "3"}
    return {"runs": runs, "machine": machine, "plan": {"judged_by": "mnist"}}


EQUIVALENT, OTHER = "equivalent", "not shown equivalent"


@pytest.mark.parametrize(
    ("distances", "verdicts"),
    [
        (
            ((10, 10), (7, 7)),
            [EQUIVALENT, EQUIVALENT, "non-", "non-"],
        ),
        (((7, 7), (10, 10)), [EQUIVALENT, EQUIVALENT, "sat", "sat"]),
        (((7, 10), (7, 7)), [OTHER, EQUIVALENT, "no difference", "non-"]),
        (((7, 7), (7, 7)), [EQUIVALENT, EQUIVALENT, "no diff", "no diff"]),
    ],
)
def test_verdicts(distances, verdicts):
    """Of the twins under each loss, then of the losses in each twin."""
    lines = tables(_study(*distances)).splitlines()
    claims = [line.split(" | ") for line in lines if " over " in line]
    assert len(claims) == 4
    for claim, verdict in zip(claims, verdicts, strict=True):
        assert claim[2].startswith(verdict), claim
