"""Rung: long runs at full size, in float64; marked slow.

Where the run's own control (PyTorch against PyTorch, every first weight moved
by one ulp) exceeds a bound, the bound is three times that control: then the
game magnifies rounding, and the twins may differ as two such runs do.
"""

import pytest

import torch_ref
from experiment.recipes import recipe
from parity_tests.control import gaps_of_runs, moved_by_one_ulp, reference_run
from parity_tests.pair import Pair, worst_gaps

pytestmark = pytest.mark.slow

MLP = recipe("mlp", precision="float64")
DCGAN = recipe("dcgan", batch_size=16, precision="float64")


@pytest.mark.parametrize(
    ("config", "steps", "bounds"),
    [
        (MLP, 1_000, {"metrics": 1e-13, "weights": 1e-13}),
        (MLP, 5_000, {"metrics": 1e-11, "weights": 1e-11}),
        (
            DCGAN,
            200,
            {"metrics": 1e-11, "weights": 1e-13, "statistics": 1e-13},
        ),
    ],
    ids=["mlp-1000", "mlp-5000", "dcgan-200"],
)
def test_long_run(config, steps, bounds, digits, measured):
    data = digits(config)
    start = torch_ref.to_numpy(Pair(config, data).theirs)
    found = worst_gaps(config, data, steps, at=(steps,))
    control = gaps_of_runs(
        reference_run(config, data, start, steps),
        reference_run(config, data, moved_by_one_ulp(start, 0), steps),
    )
    controls = {kind: control[kind].error for kind in bounds}
    measured(
        {kind: found[kind] for kind in bounds},
        {
            kind: bound if controls[kind] <= bound else 3 * controls[kind]
            for kind, bound in bounds.items()
        },
    )
