"""What is measured of a set of images, and when it counts as digits.

Apart from the measuring, so that a report of scores loads no library that it
does not need.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

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
        largest_share: of the most frequent digit.
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
        "Fréchet distance": lambda s: f"{s.frechet_distance:.2f}",
        "digits shown": lambda s: f"{s.digits}",
        "KL from the data's digits, nats": lambda s: f"{s.kl:.3f}",
        "largest class share": lambda s: f"{s.largest_share:.1%}",
        "classifier's confidence": lambda s: f"{s.confidence:.3f}",
        "precision": lambda s: f"{s.precision:.3f}",
        "recall": lambda s: f"{s.recall:.3f}",
    }
    for name, text in columns.items():
        rows.append([name, *map(text, scores.values())])
    return rows
