"""``make demo``: the same game in JAX and in PyTorch, from the same start.

Trains the default recipe on the embedded digits, first in JAX, then in PyTorch
from the same initial weights and the same random numbers. Shows their samples,
their largest difference over the first iterations in float64, and whether each
made digits. The comparison is that of ``parity_tests``, which no other module
of this package imports.
"""

import json
import sys
from datetime import datetime
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

import jax_gan
import torch_ref
from benchmarks.stability import SAMPLES, load_stability
from benchmarks.stability_report import usual
from experiment import data as datasets
from experiment import figures, run
from experiment.config import Config
from experiment.evaluate import score
from experiment.machine import describe_machine
from experiment.metrics_log import load_metrics
from experiment.parser import Parser, run_command
from experiment.recipes import DEFAULT, recipe
from experiment.scores import Scores, describe_scores, shows_digits
from experiment.stream import fixed_noise
from experiment.training import run_training
from experiment.watch import Collapse, describe_collapse
from parity_tests.pair import worst_gaps

TWINS = {"JAX": jax_gan, "PyTorch": torch_ref}
COMPARED = 100
# Runs of many seeds, by ``python -m benchmarks stability``.
STABILITY = Path(__file__).parent / "stability.json"


def main() -> int:
    """Runs the demo; returns the exit status: 1 if a twin made no digits."""
    Parser(
        prog="python -m benchmarks.demo",
        description=f"Compares both twins over {COMPARED} float64 iterations, "
        "trains each on 5,000 digits for some minutes, and writes images, "
        "curves and demo.json into a new folder of runs. Ends with a verdict "
        "on each twin; its exit status is 1 if one made no digits.",
    ).parse_args()
    folder = Path("runs") / datetime.now().strftime("demo-%Y%m%d-%H%M%S")
    return run_command(lambda: _demo(folder))


def _demo(folder: Path) -> int:
    console = Console()
    stability = load_stability(STABILITY)
    console.rule(f"1. The same steps? {COMPARED} iterations in float64")
    exact = recipe(DEFAULT, precision="float64")
    # JAX runs next to PyTorch here: with more threads they compete for cores.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    errors = worst_gaps(exact, datasets.load(exact), COMPARED, at=(COMPARED,))
    torch.set_num_threads(threads)
    for kind, error in errors.items():
        console.print(f"largest difference of {kind}: {error}")

    config = recipe(DEFAULT)
    data = datasets.load(config)
    z = fixed_noise(config, 64)
    samples, metrics, speeds, verdicts = {}, {}, {}, {}
    splits = datasets.load_splits()
    quality = {"real digits": score(splits.train.images[:SAMPLES], splits)}
    for number, (name, twin) in enumerate(TWINS.items(), start=2):
        device = twin.select_device("auto", config)
        title = f"{config.steps:,} iterations in {name} on {device}"
        console.rule(f"{number}. {title}")
        game = twin.create(config, data, device)
        state = twin.to_numpy(game)
        run_folder = folder / twin.__name__
        run.create_folder(run_folder, config)
        outcome = run_training(twin, config, data, device, game, run_folder, 0)
        samples[name] = twin.sample_images(outcome.game, z)
        metrics[name] = load_metrics(run_folder)
        speeds[name] = outcome.images_per_second
        judged = twin.sample_images(outcome.game, fixed_noise(config, SAMPLES))
        quality[name] = score(judged, splits)
        collapse = run.load_collapse(run_folder)
        verdicts[name] = verdict(collapse, quality[name], config)

    figures.save_pair(folder / "samples.png", samples, columns=8)
    figures.save_curves(folder / "curves.png", metrics)

    console.rule("4. One GAN, written twice")
    size = sum(a.size for name, a in state.items() if "/params/" in name)
    table = Table(box=None, show_header=False)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    table.add_row("parameters", f"{size:,}")
    for kind, label in (("metrics", "losses"), ("weights", "weights")):
        label = f"largest difference of {label}"
        largest = f"{errors[kind].error:.1e}, {COMPARED} iterations in float64"
        table.add_row(label, largest)
    for name, speed in speeds.items():
        table.add_row(f"images/s, {name}", f"{speed:,.0f}, float32")
    for name, of in quality.items():
        table.add_row(
            f"{SAMPLES:,} samples, {name}", describe_scores(of._asdict())
        )
    table.add_row(*usual(stability))
    table.add_row("digits from the same noise", str(folder / "samples.png"))
    table.add_row("their curves", str(folder / "curves.png"))
    for name, twin in TWINS.items():
        path = folder / twin.__name__ / "samples.gif"
        table.add_row(f"from noise to digits, {name}", str(path))
    console.print(table)
    results = {
        "machine": describe_machine(),
        "recipe": config.recipe,
        "iterations": config.steps,
        "parameters": size,
        "compared_iterations": COMPARED,
        "largest_difference": {kind: of.error for kind, of in errors.items()},
        "images_per_second": {name: round(s) for name, s in speeds.items()},
        "quality": {name: of._asdict() for name, of in quality.items()},
        "verdicts": verdicts,
    }
    (folder / "demo.json").write_text(json.dumps(results, indent=1) + "\n")
    for name, text in verdicts.items():
        console.print(f"{name}: {text}", soft_wrap=True, highlight=False)
    return int(any(text != MADE_DIGITS for text in verdicts.values()))


MADE_DIGITS = "made digits"


def verdict(collapse: Collapse | None, scores: Scores, config: Config) -> str:
    """The outcome of a twin's run, in one line."""
    if collapse:
        return describe_collapse(collapse, config)
    if shows_digits(scores._asdict()):
        return MADE_DIGITS
    return f"made no good digits: {describe_scores(scores._asdict())}"


if __name__ == "__main__":
    sys.exit(main())
