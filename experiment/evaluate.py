"""How good a run's samples are, beside what gives the numbers a meaning.

Every metric is computed for four sets of images: samples of the run, training
images (the floor: as near as one part of the data is to another), k-means
centroids (the paper's estimate rates them above the data), and samples of the
same generator before training.
"""

import warnings
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.cluster import MiniBatchKMeans

from experiment import parzen
from experiment.classifier import classify
from experiment.config import Config, InputError
from experiment.data import DIGITS, Splits
from experiment.metrics import (
    frechet_distance,
    mode_coverage,
    precision_recall,
)
from experiment.stream import fixed_noise

# Fewer would leave the covariance of 64 features undetermined.
_FEWEST = 100
# Validation images that choose sigma, as in the paper's code.
_VALIDATION = 1_000
# Samples drawn at a time.
_BLOCK = 1_000
_IMAGES_OF_A_CENTROID = 5

# What 1,000 samples must reach to count as digits. Real ones have 10 digits,
# a largest class share of .11, confidence .99 and Fréchet distance 2; an
# untrained generator has 1, 1.00, .89 and 435.
ALL_DIGITS = 10
LARGEST_SHARE = 0.25
LEAST_CONFIDENCE = 0.88
LARGEST_DISTANCE = 45.0


class Scores(NamedTuple):
    """Every metric of one set of images.

    Attributes:
        images: their number.
        log_likelihood: of test images under their Parzen window, mean, nats.
        standard_error: of that mean, over test images.
        sigma: of the window.
        sigma_on_edge: whether it is the first or last of the grid.
        frechet_distance: from the test images, on the classifier's features.
        digits: how many of the ten are shown.
        kl: of the histogram of digits from that of the test images, nats.
        largest_share: of the commonest digit.
        confidence: mean of the classifier's highest probability.
        precision: share of images within the test images' manifold.
        recall: share of test images within the images' manifold.
    """

    images: int
    log_likelihood: float
    standard_error: float
    sigma: float
    sigma_on_edge: bool
    frechet_distance: float
    digits: int
    kl: float
    largest_share: float
    confidence: float
    precision: float
    recall: float


def score(images: NDArray[np.floating], splits: Splits) -> Scores:
    """Every metric of images (n, 28, 28, 1) in [0, 1] against real digits."""
    validation, test = splits.validation.images[:_VALIDATION], splits.test
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        window = parzen.estimate(images, validation, test.images)
    ours, real = classify(images), classify(test.images)
    return Scores(
        len(images),
        *window,
        window.sigma in (parzen.SIGMAS[0], parzen.SIGMAS[-1]),
        frechet_distance(ours.features, real.features),
        *mode_coverage(ours.digits, test.labels),
        float(ours.probabilities.max(1).mean()),
        *precision_recall(ours.features, real.features),
    )


def describe_scores(scores: Mapping[str, float]) -> str:
    """The scores that ``shows_digits`` judges, in one line.

    Example:
        >>> print(describe_scores({"digits": 10, "largest_share": 0.14,
        ...     "confidence": 0.91, "frechet_distance": 22.8}))
        10 digits, largest share 14%, confidence 0.91, Fréchet distance 22.8
    """
    return (
        f"{scores['digits']} digits, largest share "
        f"{scores['largest_share']:.0%}, confidence "
        f"{scores['confidence']:.2f}, Fréchet distance "
        f"{scores['frechet_distance']:.1f}"
    )


def shows_digits(scores: Mapping[str, float]) -> bool:
    """Whether samples show digits: all ten, none too often, recognisable.

    All four must hold: a classifier is confident of one digit drawn always
    the same, and blurs of all ten have every digit.

    Args:
        scores: ``frechet_distance``, ``digits``, ``largest_share`` and
            ``confidence`` of 1,000 samples; a Fréchet distance of other
            numbers of samples does not compare.

    Example:
        >>> real = {"frechet_distance": 2.2, "digits": 10,
        ...         "largest_share": 0.11, "confidence": 0.99}
        >>> shows_digits(real), shows_digits(real | {"digits": 9})
        (True, False)
    """
    return (
        scores["digits"] == ALL_DIGITS
        and scores["largest_share"] <= LARGEST_SHARE
        and scores["confidence"] >= LEAST_CONFIDENCE
        and scores["frechet_distance"] <= LARGEST_DISTANCE
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


def score_rows(scores: Mapping[str, Scores]) -> list[list[str]]:
    """The table of scores as text: a header, then a row for each metric."""
    rows = [["", *scores], ["images"]]
    rows[1] += [f"{s.images:,}" for s in scores.values()]
    likelihood = "Parzen log-likelihood, nats"
    columns: dict[str, Callable[[Scores], str]] = {
        likelihood: lambda s: (
            f"{round(s.log_likelihood)} ± {s.standard_error:.0f}"
        ),
        "its sigma": lambda s: f"{s.sigma:.3f}{'*' * s.sigma_on_edge}",
        "Frechet distance": lambda s: f"{s.frechet_distance:.2f}",
        "digits shown": lambda s: f"{s.digits}",
        "KL from the data's digits, nats": lambda s: f"{s.kl:.3f}",
        "commonest digit": lambda s: f"{s.largest_share:.1%}",
        "classifier's confidence": lambda s: f"{s.confidence:.3f}",
        "precision": lambda s: f"{s.precision:.3f}",
        "recall": lambda s: f"{s.recall:.3f}",
    }
    for name, text in columns.items():
        rows.append([name, *map(text, scores.values())])
    return rows


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
