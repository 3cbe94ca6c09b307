"""Test level: long runs at full size, in float64; marked slow.

By the rule that the paper used, momentum. Adam divides a gradient by its own
size: where that is rounding, as at pixels that are always black, so is its
step, and the game magnifies it until PyTorch has left PyTorch too. Measured
under Adam, as shipped: the mlp's losses differ by .25 after 1,000 steps, by
.001 between PyTorch and PyTorch one ulp apart; dcgan's weights by 4e-13 after
200, by 1e-13. With momentum the game does so as it learns, by rate times
steps; the rates keep that within what the bounds allow.
"""

import pytest

from experiment.recipes import recipe
from parity_tests.pair import worst_gaps

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "steps", "rate", "bounds"),
    [
        ("mlp", 1_000, 0.02, {"metrics": 1e-13, "weights": 1e-13}),
        ("mlp", 5_000, 0.004, {"metrics": 1e-11, "weights": 1e-11}),
        (
            "dcgan",
            200,
            0.0002,
            {"metrics": 1e-11, "weights": 1e-13, "statistics": 1e-13},
        ),
    ],
)
def test_long_run(name, steps, rate, bounds, digits, measured):
    config = recipe(
        name, optimizer="sgd", learning_rate=rate, precision="float64"
    )
    found = worst_gaps(config, digits(config), steps, at=(steps,))
    measured({kind: found[kind] for kind in bounds}, bounds)
