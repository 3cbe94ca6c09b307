"""Drift: how far two runs diverge, iteration by iteration, at several seeds.

One seed says little. A unit within a rounding error of its ReLU's kink may
land on either side of it, and from there two runs in float32 diverge; which
seed has such a unit early is chance.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import torch_ref
from experiment.config import Config
from experiment.data import load
from experiment.initial import moved_by_one_ulp
from experiment.recipes import recipe
from experiment.stream import Stream
from parity_tests.control import Reversed, reference_run
from parity_tests.pair import Pair

# By the name of a comparison, one curve a seed: the error of every iteration.
Drift = dict[str, list[list[float]]]

# Okabe and Ito's green, blue and vermilion: readers who do not see red and
# green apart can tell them.
_COLORS = "#009e73", "#0072b2", "#d55e00"


def measure_drift(seeds: Iterable[int], steps: int) -> Drift:
    """Largest error of the metrics at every iteration, in three comparisons.

    The recipe lecture, both sides from the same weights: JAX against PyTorch
    in float64 and in float32, and PyTorch against itself in float32, the
    largest of six controls: every weight moved by one ulp, five times, and
    reversed minibatches.

    Args:
        seeds: of the weights and of the stream; one curve each.
        steps: iterations of each run.

    Returns:
        The curves of each comparison, by its name, in the order of the seeds.
    """
    drift: Drift = {}
    for seed in seeds:
        for precision in ("float64", "float32"):
            config = recipe("lecture", precision=precision, seed=seed)
            data = load(config)
            drift.setdefault(f"JAX against PyTorch, {precision}", []).append(
                _between_twins(config, data, steps)
            )
        drift.setdefault("PyTorch against itself, float32", []).append(
            _within_pytorch(config, data, steps)
        )
    return drift


def _between_twins(
    config: Config, data: NDArray[np.floating], steps: int
) -> list[float]:
    pair = Pair(config, data)
    return [pair.step(number).error for number in range(steps)]


def _within_pytorch(
    config: Config, data: NDArray[np.floating], steps: int
) -> list[float]:
    stream = Stream(config, data)
    start = torch_ref.to_numpy(torch_ref.create(config, data))
    runs = [(stream, moved_by_one_ulp(start, i)) for i in range(5)]
    runs.append((Reversed(config, data), start))
    theirs, _ = reference_run(stream, start, steps)
    gaps = [
        np.abs(history[name] - theirs[name])
        for run in runs
        for history, _ in [reference_run(*run, steps)]
        for name in theirs
    ]
    return np.max(gaps, axis=0).tolist()


def plot_drift(path: Path, drift: Drift) -> None:
    """Draws a panel a comparison: each seed thin, the median of them bold."""
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    # The float32 curves of a seed often coincide: on one axis they hide each
    # other, side by side they show it.
    axes = figure.subplots(1, len(drift), sharey=True)
    rows = zip(axes, _COLORS, drift.items(), strict=True)
    for axis, color, (name, curves) in rows:
        steps = range(1, len(curves[0]) + 1)
        thin = {"color": color, "linewidth": 0.7, "alpha": 0.4}
        bold = {"color": color, "linewidth": 2}
        for i, curve in enumerate(curves):
            axis.plot(steps, curve, **thin, label="" if i else "one seed")
        label = f"median of {len(curves)} seeds"
        axis.plot(steps, np.median(curves, axis=0), **bold, label=label)
        axis.set_yscale("log", nonpositive="mask")  # no error, no point
        axis.set_title(name, fontsize="medium")
        axis.set_xlabel("iteration, recipe lecture")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("largest difference of losses, D(x), D(G(z))")
    axes[0].legend(loc="upper left", fontsize="small")
    figure.savefig(path, dpi=100)
