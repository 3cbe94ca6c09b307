"""Validity checks: what a variant must pass before it is timed.

Each check returns the reason why the variant is excluded, or None.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.variant_names import STEPS
from benchmarks.variants import AS_IT_IS, Control, Variant, reversed_rows
from experiment.initial import State, moved_by_one_ulp

# Three starts that are one ulp away; and sums in another order, which differ
# where their terms nearly cancel, as in the gradient of D's last bias.
CONTROLS = [
    *(Control(start=partial(moved_by_one_ulp, seed=i)) for i in range(3)),
    Control(batch=reversed_rows),
]
# The largest error of a state that the controls may excuse: without any
# gradient it would be 1.
_MOST_EXCUSED = 0.25


def parity(variant: Variant, tolerance: float) -> str | None:
    """The variant takes the steps of the plain step.

    After one iteration it compares moments (the gradients, as the optimizer
    got them) and batch statistics, relative to the largest element of their
    array, and weights, relative to the mean step. Then it compares the losses
    of two runs of ten iterations, one after the other, as a CUDA graph would
    be replayed.

    A rounding error may put a unit on the other side of its kink. So an error
    beyond the tolerance still passes if it is at most ten times what a control
    changes in the plain step: one ulp of the initial weights, or the
    minibatch in the opposite order.
    """
    before = variant.state(variant.create())
    game, _ = variant.run(variant.create(), 1)
    state = variant.state(game)
    for name, array in state.items():
        if not np.isfinite(array).all():
            return f"{name} is not finite"
        if "/params/" in name and not np.abs(array - before[name]).any():
            return f"{name} did not change"
    game, metrics = variant.run(variant.create(), STEPS)
    history = variant.losses(metrics)
    _, metrics = variant.run(game, STEPS)
    history = np.concatenate([history, variant.losses(metrics)])
    if not np.isfinite(history).all():
        return "a loss is not finite"
    if len(np.unique(history, axis=0)) < len(history):
        return "two iterations have the same losses: the noise is the same"

    plain = variant.plain(AS_IT_IS)
    shapes = [
        {(name, array.shape) for name, array in arrays.items()}
        for arrays in (state, plain[0])
    ]
    if odd := shapes[0] ^ shapes[1]:
        return f"its state is not that of the plain step: {min(odd)}"
    errors = _errors(before, (state, history), plain)
    beyond = {what: e for what, e in errors.items() if not e <= tolerance}
    if not beyond:
        return None
    controls = [
        _errors(before, variant.plain(control), plain) for control in CONTROLS
    ]
    for what, error in beyond.items():
        excused = 10 * max(control[what] for control in controls)
        if what in state:
            excused = min(excused, _MOST_EXCUSED)
        if not error <= excused:
            return f"{what} differ from those of the plain step by {error:.1e}"
    return None


def _errors(
    before: State,
    actual: tuple[State, NDArray],
    expected: tuple[State, NDArray],
) -> dict[str, float]:
    """Error of each array of a state, and of the losses, against expected."""
    errors = {}
    for name, a in actual[0].items():
        b = expected[0][name]
        if "/params/" in name:
            scale = np.abs(b - before[name]).mean()
            error = np.abs(a - b).mean()
        else:
            scale, error = np.abs(b).max(), np.abs(a - b).max()
        errors[name] = float(error / (scale + 1e-12))
    losses = float(np.abs(actual[1] - expected[1]).max())
    return {**errors, f"losses of {len(actual[1])} iterations": losses}


def no_host_sync(side: Any, variant: Variant) -> str | None:
    """No iteration synchronises with the host."""
    found = side.host_sync(
        lambda game: variant.run(game, STEPS)[0], variant.create()
    )
    return f"it synchronises with the host: {found}" if found else None


def matmul_dtypes(side: Any, variant: Variant, dtype: str) -> str | None:
    """Its matmuls and convolutions have the requested data type."""
    dtypes = side.matmul_dtypes(
        lambda game: variant.run(game, STEPS), variant.create()
    )
    wrong = sorted(dtypes - {dtype})
    return f"its matmuls have type {', '.join(wrong)}" if wrong else None


def compiles_once(side: Any, block: Callable[[], Any]) -> str | None:
    """Another block compiles nothing."""
    before = side.compilations()
    block()
    count = side.compilations() - before
    return f"it compiled {count} programs in a warm block" if count else None


def work(counted: int, formula: int) -> str | None:
    """The matmuls of the step are those of the formula."""
    if counted == formula:
        return None
    return f"{counted:,} FLOP an iteration, by formula {formula:,}"
