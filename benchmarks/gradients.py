"""Saturating against non-saturating gradients of G: the paper's section 3.

"Early in learning, when G is poor, D can reject samples with high confidence
... In this case, log(1 - D(G(z))) saturates." Trains a recipe and measures,
every few iterations and on the same batch, the norm of the gradient that
either loss would give G, in JAX and in PyTorch from the same weights. Draws
both norms over the iterations, and their ratio against D(G(z)). The ratio is
D/(1 - D) where D gives all samples the same probability.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray
from rich.progress import track

import jax_gan
import torch_ref
from experiment.config import Config
from experiment.data import load
from experiment.errors import InputError
from experiment.figures import BLUE, GREY, ORANGE
from experiment.parser import Parser, run_command
from experiment.pixels import Data
from experiment.recipes import RECIPES, recipe
from experiment.stream import Stream

TWINS = {"JAX": jax_gan, "PyTorch": torch_ref}
Loss = Literal["saturating", "non-saturating"]
COLORS: dict[Loss, str] = {"saturating": ORANGE, "non-saturating": BLUE}
State = dict[str, NDArray]


def main(arguments: list[str] | None = None) -> int:
    """Measures and draws; returns the exit status."""
    parser = Parser(
        prog="python -m benchmarks.gradients",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--recipe", default="lecture", help=", ".join(RECIPES) + " (lecture)"
    )
    parser.add_argument(
        "--steps", type=int, default=300, help="iterations of the run (300)"
    )
    parser.add_argument(
        "--every",
        type=int,
        default=5,
        help="iterations between two evaluations (5)",
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="PNG file to create"
    )
    options = parser.parse_args(arguments)
    return run_command(lambda: _draw(options))


def _draw(options: argparse.Namespace) -> int:
    if not 1 <= options.every <= options.steps:
        raise InputError(
            f"--every is {options.every}: it must be from 1 to --steps, "
            f"{options.steps}"
        )
    if options.out.suffix.lower() != ".png":
        raise InputError(f"--out {options.out}: its name must end in .png")
    config = recipe(options.recipe, steps=options.steps)
    data = load(config)
    jax_gan.select_device("cpu", config)
    state = jax_gan.to_numpy(jax_gan.create(config, data))
    norms = {
        name: gradient_norms(twin, config, data, state, options.every)
        for name, twin in TWINS.items()
    }
    save_gradients(options.out, norms)
    print(options.out)
    return 0


def gradient_norms(
    twin: ModuleType,
    config: Config,
    data: Data,
    state: State,
    every: int,
) -> dict[str, NDArray[np.float64]]:
    """The norm of G's gradient under both losses, along a run from ``state``.

    Returns:
        ``step``, ``fake_probability`` (mean D(G(z)) of that iteration), and
        the norm for either loss: an array over the evaluations for each.
    """
    device = twin.select_device("cpu", config)
    game = twin.from_numpy(twin.create(config, data, device), state)
    # The first momentum of a new SGD is the gradient itself. With a learning
    # rate this small D is constant, so the gradient is that of these weights.
    rule = replace(
        config,
        optimizer="sgd",
        momentum=0.5,
        learning_rate=1e-30,
        generator_learning_rate=1e-30,
        min_learning_rate=0.0,
    )
    probes = {
        loss: twin.create(replace(rule, loss=loss), data, device)
        for loss in COLORS
    }
    fresh = twin.to_numpy(probes["saturating"])
    stream = Stream(config, data)
    rows: list[dict[str, float]] = []
    for step in track(range(config.steps), twin.__name__):
        batch = twin.place(stream.batch(step), device)
        if step % every == 0:
            row: dict[str, float] = {"step": step}
            weights = {
                name: array
                for name, array in twin.to_numpy(game).items()
                if "/optimizer/" not in name
            }
            for loss, probe in probes.items():
                probe = twin.from_numpy(probe, {**fresh, **weights})
                probe, metrics = twin.train_step(probe, batch)
                row[loss] = _norm_of_momentum(twin.to_numpy(probe))
                row["fake_probability"] = float(metrics.fake_probability)
            rows.append(row)
        game, _ = twin.train_step(game, batch)
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _norm_of_momentum(state: State) -> float:
    squares = (
        np.sum(array.astype(np.float64) ** 2)
        for name, array in state.items()
        if name.startswith("generator/optimizer/momentum/")
    )
    return float(np.sqrt(sum(squares)))


def save_gradients(
    path: Path, runs: dict[str, dict[str, NDArray[np.float64]]]
) -> None:
    """Norms over the iterations, and their ratio against D(G(z)).

    The first run is drawn wide and pale, the next thin and dark.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for i, (name, run) in enumerate(runs.items()):
        style = {"alpha": 0.35 if i == 0 else 1}
        for loss, color in COLORS.items():
            left.plot(
                run["step"],
                run[loss],
                color=color,
                linewidth=5 if i == 0 else 1,
                label=f"{loss}, {name}",
                **style,
            )
        right.scatter(
            run["fake_probability"],
            run["saturating"] / run["non-saturating"],
            s=40 if i == 0 else 6,
            color=BLUE,
            label=name,
            **style,
        )
    shown = np.concatenate([run["fake_probability"] for run in runs.values()])
    D = np.geomspace(shown.min(), shown.max(), 100)
    right.plot(D, D / (1 - D), color=GREY, linestyle=":", label="D/(1 - D)")
    left.set(
        yscale="log",
        xlabel="iteration of Algorithm 1",
        ylabel="norm of G's gradient",
    )
    right.set(
        xscale="log",
        yscale="log",
        xlabel="mean D(G(z))",
        ylabel="saturating / non-saturating",
    )
    right.xaxis.set_minor_formatter(NullFormatter())
    for axis in (left, right):
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    sys.exit(main())
