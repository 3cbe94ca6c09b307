"""What each command of the twins' command line does."""

import argparse
import os
from contextlib import ExitStack
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np

from experiment import data as datasets
from experiment import figures, run
from experiment.config import Config
from experiment.errors import InputError
from experiment.explore import explore_page
from experiment.export import save_network
from experiment.info import print_collapse
from experiment.outputs import check_outputs
from experiment.peers import Peers
from experiment.processes import find_place
from experiment.restore import load_game
from experiment.resume import settings_of
from experiment.start import load_inputs, open_folder, prepare
from experiment.stream import fixed_noise
from experiment.training import products


def train(twin: ModuleType, options: argparse.Namespace) -> int:
    """Trains a recipe into a run folder, or resumes one.

    Of several processes, one writes and speaks.
    """
    place = find_place(twin.__package__ or "", os.environ)
    if options.deterministic:
        twin.make_deterministic()
    twin.join(place, options.devices)
    peers = Peers(twin, place)
    with ExitStack() as stack:
        # Each step ends in all processes before one takes the next.
        inputs = peers.together(
            lambda: load_inputs(twin, options, peers, stack)
        )
        training = peers.together(lambda: prepare(twin, options, peers, inputs))
        config, data, folder = inputs
        state = twin.to_numpy(training.game)
        peers.together(lambda: peers.require_same(config, data, state))
        peers.together(
            lambda: (
                open_folder(options, inputs, training, stack)
                if peers.writes
                else None
            )
        )
        try:
            if not peers.writes:
                training.follow()
                return 0
            outcome = training.run(
                settings_of(options, folder), options.reduce_learning_rate
            )
        except RuntimeError as error:
            peers.explain(error)
            raise
    if np.isfinite(outcome.images_per_second):
        speed = f"{outcome.images_per_second:,.0f} images/s"
        print(f"{speed}, without compilation")
    for path in products(config, folder, outcome.step):
        if path.exists():
            print(path)
    collapsed = run.load_collapse(folder) is not None
    return int(options.stop_when_collapsed and collapsed)


def _game_of(
    twin: ModuleType, options: argparse.Namespace, suffixes: tuple[str, ...]
) -> tuple[Config, int, Any]:
    """Config (with the seed of the noise), step and game of a run folder."""
    check_outputs(options, suffixes)
    config, step, game = load_game(twin, options.run, options.device)
    if options.seed is not None:
        config = replace(config, seed=options.seed)
    return config, step, game


def sample(twin: ModuleType, options: argparse.Namespace) -> int:
    """Draws samples from a run."""
    config, _, game = _game_of(twin, options, (".png",))
    samples = twin.sample_images(game, fixed_noise(config, options.n))
    columns = max(1, round(options.n**0.5))
    figures.save_samples(options.out, samples, columns)
    print(options.out)
    if options.npy:
        with options.npy.open("wb") as file:  # np.save would add a suffix
            np.save(file, samples)
        print(options.npy)
    return 0


def interpolate(twin: ModuleType, options: argparse.Namespace) -> int:
    """Draws G(z) along straight lines between noise vectors."""
    config, _, game = _game_of(twin, options, (".png", ".gif"))
    if options.n < 2:
        raise InputError(f"--n is {options.n}: a row has at least 2 images")
    walk = options.out.suffix.lower() == ".gif"
    if walk:  # from each to the next, and from the last to the first
        starts = fixed_noise(config, options.rows)
        stops = np.roll(starts, -1, axis=0)
    else:
        ends = fixed_noise(config, 2 * options.rows)
        starts, stops = ends[::2], ends[1::2]
    z = np.linspace(starts, stops, options.n, axis=1, endpoint=not walk)
    z = z.reshape(-1, config.noise_size).astype(config.dtype)
    samples = twin.sample_images(game, z)
    if walk:
        figures.save_walk(options.out, _images(config, samples))
    else:
        figures.save_samples(options.out, samples, options.n)
    print(options.out)
    return 0


def explore(twin: ModuleType, options: argparse.Namespace) -> int:
    """Makes a page to play with a run, or with two next to each other."""
    check_outputs(options, (".html",))
    page = explore_page(twin, options.run, options.device, options.seed)
    options.out.write_text(page, encoding="utf-8")
    print(options.out)
    return 0


def export(twin: ModuleType, options: argparse.Namespace) -> int:
    """Writes one network of a run for a module outside the project."""
    check_outputs(options, (".safetensors",))
    save_network(options.out, options.run, options.network, options.format)
    print(options.out)
    return 0


def nearest(twin: ModuleType, options: argparse.Namespace) -> int:
    """Draws samples, each above its nearest training image."""
    # Here, since scikit-learn takes two seconds to load.
    from experiment.metrics import nearest as nearest_images

    config, _, game = _game_of(twin, options, (".png",))
    samples = twin.sample_images(game, fixed_noise(config, options.n))
    samples = _images(config, samples)
    in_unit = replace(config, output="sigmoid")  # as the samples are
    data = datasets.load(
        in_unit, options.data_dir, options.download, options.skip_unreadable
    )
    figures.save_nearest(options.out, samples, nearest_images(samples, data))
    print(options.out)
    return 0


def _images(config: Config, samples: Any) -> Any:
    if samples.ndim == 2:
        raise InputError(
            f"data {config.data} has no images: take a run of another set"
        )
    return samples


def evaluate(twin: ModuleType, options: argparse.Namespace) -> int:
    """Judges the samples of a run, and the baselines."""
    from experiment.evaluate import evaluate as evaluate_game
    from experiment.evaluate import print_scores

    config, step, game = _game_of(twin, options, ())
    collapse = run.load_collapse(options.run)
    splits = datasets.load_splits(options.data_dir, options.download)
    scores = evaluate_game(twin, config, game, splits, options.n)
    results = {
        "recipe": config.recipe,
        "step": step,
        "seed": config.seed,
        "judged_by": splits.name,
        "scores": {name: s._asdict() for name, s in scores.items()},
    }
    path = run.save_evaluation(options.run, results)
    print_scores(scores, splits)
    print_collapse(collapse, config)
    print(path)
    return 0
