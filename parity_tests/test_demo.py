"""The verdict that the demo ends with."""

import pytest

from benchmarks import demo
from experiment.recipes import RECIPES
from experiment.scores import Scores
from experiment.watch import Collapse

DIGITS = RECIPES["digits"]

GOOD = Scores(
    images=1000,
    log_likelihood=0.0,
    standard_error=0.0,
    sigma=0.1,
    sigma_on_edge=False,
    frechet_distance=20.0,
    digits=10,
    kl=0.0,
    largest_share=0.14,
    confidence=0.9,
    precision=0.7,
    recall=0.5,
)


def test_made_digits():
    assert demo.verdict(None, GOOD, DIGITS) == demo.MADE_DIGITS


def test_a_collapse_is_named_whatever_its_samples_are():
    found = demo.verdict(Collapse(3751, 4250, "D saturated"), GOOD, DIGITS)
    assert found.startswith("collapsed at iteration 3,751")


@pytest.mark.parametrize(
    "worse",
    [
        {"digits": 9},
        {"largest_share": 0.26},
        {"confidence": 0.87},
        {"frechet_distance": 46.0},
    ],
)
def test_poor_samples_are_no_digits(worse):
    found = demo.verdict(None, GOOD._replace(**worse), DIGITS)
    assert found.startswith("made no good digits")


def test_usual_is_the_range_of_every_score():
    one = {"digits": 9, "largest_share": 0.2, "confidence": 0.8}
    scores = [
        one | {"frechet_distance": 20.0},
        one | {"frechet_distance": 30.04, "digits": 10, "confidence": 0.95},
    ]
    found = demo.usual({"runs": [{"scores": s} for s in scores]})
    assert found == (
        "usual, 2 runs",
        "9 to 10 digits, largest share 20%, confidence 0.80 to 0.95, "
        "Fréchet distance 20.0 to 30.0",
    )
