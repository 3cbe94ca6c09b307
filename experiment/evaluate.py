"""How good a run's samples are, next to what gives the numbers a meaning.

Every metric is computed for four sets of images: samples of the run, training
images (the floor: as near as one part of the data is to another), k-means
centroids (the paper's estimate rates them above the data), and samples of the
same generator before training.
"""

import warnings
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.cluster import MiniBatchKMeans

from experiment import parzen
from experiment.classifier import classify
from experiment.config import Config
from experiment.data import DIGITS, Splits
from experiment.errors import InputError
from experiment.metrics import (
    frechet_distance,
    mode_coverage,
    precision_recall,
)
from experiment.scores import Scores, score_rows
from experiment.stream import fixed_noise

# Fewer would leave the covariance of 64 features undetermined.
_FEWEST = 100
# Validation images that choose sigma, as in the paper's code.
_VALIDATION = 1_000
# Samples drawn at a time.
_BLOCK = 1_000
_IMAGES_OF_A_CENTROID = 5


def score(images: NDArray[np.floating], splits: Splits) -> Scores:
    """Every metric of images (n, 28, 28, 1) in [0, 1] against real digits."""
    validation, test = splits.validation.images[:_VALIDATION], splits.test
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        window = parzen.estimate(images, validation, test.images)
    ours, real = classify(images), classify(test.images)
    return Scores(
        len(images),
        window.mean,
        window.standard_error,
        window.sigma,
        window.sigma in (parzen.SIGMAS[0], parzen.SIGMAS[-1]),
        frechet_distance(ours.features, real.features),
        *mode_coverage(ours.digits, test.labels),
        float(ours.probabilities.max(1).mean()),
        *precision_recall(ours.features, real.features),
    )


def evaluate(
    twin: ModuleType, config: Config, game: Any, splits: Splits, n: int
) -> dict[str, Scores]:
    """Scores of a game's samples and of the baselines, by their names.

    Args:
        twin: the module that the game is of.
        config: the experiment; its seed draws the noise.
        game: a game of digits.
        splits: the real digits to judge by.
        n: images of each set, at most as many as there are to train on.

    Raises:
        InputError: the game is not one of digits, or n is too small.
    """
    if config.data not in DIGITS:
        raise InputError(
            f"data {config.data} cannot be evaluated: the judge knows digits "
            "only; take a run of mnist5k or mnist"
        )
    if n < _FEWEST:
        raise InputError(f"--n is {n}: it must be at least {_FEWEST}")
    console = Console(stderr=True)
    train = splits.train.images
    if n > len(train):
        n = len(train)
        console.print(
            f"{n:,} images of each set: there are no more to train on"
        )
    z = fixed_noise(config, n)

    def untrained() -> NDArray[np.floating]:
        first = twin.create(config, train.astype(config.dtype))
        return _generate(twin, first, z)

    sets: dict[str, Callable[[], NDArray[np.floating]]] = {
        "samples": lambda: _generate(twin, game, z),
        "training images": lambda: train[:n],
        "k-means centroids": lambda: kmeans_centroids(
            train, min(n, len(train) // _IMAGES_OF_A_CENTROID)
        ),
        "untrained": untrained,
    }
    scores = {}
    for number, (name, images_of) in enumerate(sets.items(), start=1):
        text = f"{number}/{len(sets)}  {name}"
        with console.status(text):
            if not console.is_terminal:
                console.print(text, highlight=False)
            scores[name] = score(images_of(), splits)
    return scores


def kmeans_centroids(
    images: NDArray[np.floating], clusters: int
) -> NDArray[np.floating]:
    """Centroids of clusters of images: blurred, and none of them new."""
    # Chosen at random: k-means++ would take minutes for as many clusters.
    found = MiniBatchKMeans(
        clusters,
        init="random",
        n_init=1,
        batch_size=4096,
        max_iter=2,
        compute_labels=False,
        random_state=0,
    ).fit(images.reshape(len(images), -1))
    return found.cluster_centers_.reshape(-1, *images.shape[1:])


def _generate(
    twin: ModuleType, game: Any, z: NDArray[np.floating]
) -> NDArray[np.floating]:
    blocks = np.split(z, range(_BLOCK, len(z), _BLOCK))
    return np.concatenate([twin.sample_images(game, block) for block in blocks])


def print_scores(scores: Mapping[str, Scores], splits: Splits) -> None:
    """Prints the table of scores, and what it was measured on."""
    header, *rows = score_rows(scores)
    table = Table(*header, box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*row)
    notes = [
        f"Judged by {splits.name}: sigma chosen on "
        f"{min(_VALIDATION, len(splits.validation.labels)):,} images, tested "
        f"on {len(splits.test.labels):,}; ± is a standard error over these."
    ]
    if splits.name == "mnist5k":
        notes.append(
            "These are parts of the 5,000 embedded digits; a run of data "
            "mnist5k was trained on all of them. With --data-dir it is judged "
            "by MNIST's test images."
        )
    if any(s.sigma_on_edge for s in scores.values()):
        notes.append(
            "* on the edge of the grid: a better sigma may lie beyond."
        )
    console = Console()
    console.print(table)
    for note in notes:
        console.print(note, highlight=False)
