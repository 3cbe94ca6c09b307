"""How layers and rules are compared: output and gradients, in float64.

Errors are relative to the largest value of an array, or to 1 if that is more.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from parity_tests.compare import NO_GAP, Arrays, Gap, gap
from parity_tests.forward import check_forward

TOLERANCE = 1e-13


def for_all(
    check: Callable[..., Gap], measured: Callable, **strategies: Any
) -> None:
    """The gap that ``check`` finds stays within bounds for twenty draws."""
    # Here, since a user who compares other layers needs no draws.
    from hypothesis import Phase, given, settings

    worst = NO_GAP

    @settings(
        derandomize=True,
        deadline=None,
        max_examples=20,
        phases=[Phase.generate],  # every shape compiles: shrinking is slow
    )
    @given(**strategies)
    def each(**drawn):
        nonlocal worst
        found = check(**drawn)
        worst = max(worst, found)
        if not found.error <= TOLERANCE:
            raise AssertionError(str(found))

    each()
    measured({"layer": worst}, TOLERANCE)


def random_arrays(**shapes: tuple[int, ...]) -> Arrays:
    """Normal numbers of these shapes, always the same."""
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def vjp_gap(in_jax: Callable, in_torch: Callable, values: Arrays) -> Gap:
    """The largest error of output and gradients, of the same arguments."""
    errors = check_forward(in_torch, in_jax, values).errors
    worst = max(errors, key=lambda of: of.error)
    return Gap(worst.error, worst.name)


def relative_gap(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Gap:
    """The gap, relative to each array's largest value where that is over 1."""
    expected = {k: tensor.detach().numpy() for k, tensor in theirs.items()}
    scales = {k: max(1, np.abs(v).max()) for k, v in expected.items()}
    return gap(
        {k: np.array(array) / scales[k] for k, array in ours.items()},
        {k: array / scales[k] for k, array in expected.items()},
    )
