"""Drift: how far two runs diverge, iteration by iteration, at several seeds.

One seed says little. A unit within a rounding error of its ReLU's kink may
land on either side of it, and from there two runs in float32 diverge; which
seed has such a unit early is chance.
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from experiment.config import Config
from experiment.data import load
from experiment.recipes import recipe
from parity_tests.check import check_pair
from parity_tests.pair import iterations
from parity_tests.result import Result
from parity_tests.twin import reverse
from parity_tests.twin_jax import JaxTwin
from parity_tests.twin_torch import TorchTwin

# By the name of a comparison, one curve a seed: the error of every iteration.
Drift = dict[str, list[list[float]]]

# Okabe and Ito's green, blue and vermilion: readers who do not see red and
# green apart can tell them.
_COLORS = "#009e73", "#0072b2", "#d55e00"


def measure_drift(seeds: Iterable[int], steps: int) -> Drift:
    """The largest error of the metrics in every iteration, compared thrice.

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
            result = _run(config, steps)
            name = f"JAX against PyTorch, {precision}"
            drift.setdefault(name, []).append(list(result.growth))
        name = "PyTorch against itself, float32"
        drift.setdefault(name, []).append(list(result.control))
    return drift


def _run(config: Config, steps: int) -> Result:
    """Both twins, and in float32 six controls."""
    data = load(config)
    single = config.precision == "float32"
    return check_pair(
        partial(TorchTwin, config, data),
        partial(JaxTwin, config, data),
        (of._replace(evaluation=()) for of in iterations(config, data, steps)),
        controls=5 if single else 0,
        permute=reverse if single else None,
        states_at=(),
    )


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
