"""images/s of a run, by a clock and a twin that are stand-ins."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from experiment import chunks
from experiment.stream import length
from experiment.training import run_training
from parity_tests.small import small_config, small_data
from parity_tests.twin import METRICS

COMPILATION, STEP = 10.0, 0.01  # seconds


class Clock:
    """Stands still but for what a twin does."""

    now = 0.0

    def perf_counter(self):
        """Seconds since it was made."""
        return self.now


def _twin(clock):
    """A twin that compiles for each length, as a jitted scan does."""
    compiled = set()

    def train(game, batches):
        count = length(batches)
        clock.now += STEP * count + COMPILATION * (count not in compiled)
        compiled.add(count)
        return game, count

    rng = np.random.default_rng(0)
    return SimpleNamespace(
        __package__="stand_in",
        train=train,
        place=lambda batches, device: batches,
        rows=lambda batch_size: slice(None),
        fetch=lambda count: {name: np.full(count, 0.5) for name in METRICS},
        sample_images=lambda game, z: rng.random((len(z), 28, 28, 1)),
        to_numpy=lambda game: {"weights": np.zeros(1)},
    )


@pytest.mark.parametrize(
    ("steps", "sample_every", "counts"),
    [
        (20, 500, False),  # one chunk
        (70, 500, False),  # of 50 and of 20: both compile
        (100, 500, True),
        (120, 500, True),  # of 50, 50 and 20
        (90, 30, True),
        (140, 70, True),  # of 50, 20, 50 and 20
    ],
)
def test_compilation_is_left_out(
    steps, sample_every, counts, tmp_path, monkeypatch, capsys
):
    clock = Clock()
    monkeypatch.setattr(chunks, "time", clock)
    config = small_config(steps=steps, sample_every=sample_every)
    folder = tmp_path / "run"
    folder.mkdir()
    outcome = run_training(
        _twin(clock), config, small_data(), None, None, folder, 0
    )
    assert clock.now > COMPILATION
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"{steps}/{steps}  ")
    if counts:
        speed = config.batch_size / STEP
        assert outcome.images_per_second == pytest.approx(speed)
        assert f"  {speed:,.0f} images/s  " in last
    else:
        assert math.isnan(outcome.images_per_second)
        assert "images/s" not in last
        assert "left" not in last
