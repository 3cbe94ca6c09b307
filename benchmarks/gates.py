"""What a variant must pass before it gets a number.

Each gate returns why it refuses, or None.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.variants import STEPS, Variant
from experiment.initial import State

CONTROLS = range(3)  # seeds of the starts that are one ulp off
# What an ulp excuses, of a state: no gradient at all would be an error of 1.
_MOST_EXCUSED = 0.25


def parity(variant: Variant, tolerance: float) -> str | None:
    """The variant takes the steps of the plain one.

    After one iteration: moments (the gradients, as the optimizer got them)
    and batch statistics, relative to the largest of their array; weights,
    relative to the mean step. Then two runs of ten, one after the other, as a
    graph would be replayed: the losses. An ulp may put a unit on the other
    side of its kink; so an error beyond the tolerance still passes within ten
    times what one ulp of the first weights does to the plain step (sums in
    another order are off by a few ulps).
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

    plain = variant.plain(None)
    shapes = [
        {(name, array.shape) for name, array in of.items()}
        for of in (state, plain[0])
    ]
    if odd := shapes[0] ^ shapes[1]:
        return f"its state is not that of the plain step: {min(odd)}"
    found = _errors(before, (state, history), plain)
    beyond = {what: e for what, e in found.items() if not e <= tolerance}
    if not beyond:
        return None
    controls = [
        _errors(before, variant.plain(seed), plain) for seed in CONTROLS
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
    ours: tuple[State, NDArray],
    theirs: tuple[State, NDArray],
) -> dict[str, float]:
    found = {}
    for name, a in ours[0].items():
        b = theirs[0][name]
        if "/params/" in name:
            scale = np.abs(b - before[name]).mean()
            error = np.abs(a - b).mean()
        else:
            scale, error = np.abs(b).max(), np.abs(a - b).max()
        found[name] = float(error / (scale + 1e-12))
    of_losses = float(np.abs(ours[1] - theirs[1]).max())
    return {**found, f"losses of {len(ours[1])} iterations": of_losses}


def no_reads(side: Any, variant: Variant) -> str | None:
    """No iteration waits for a number that Python reads."""
    found = side.reads_host(
        lambda game: variant.run(game, STEPS)[0], variant.create()
    )
    return f"it waits for the device: {found}" if found else None


def products(side: Any, variant: Variant, dtype: str) -> str | None:
    """Its products of matrices take what they are to take."""
    found = side.types_of_products(
        lambda game: variant.run(game, STEPS), variant.create()
    )
    wrong = sorted(found - {dtype})
    return f"its products take {', '.join(wrong)}" if wrong else None


def compiles_once(side: Any, block: Callable[[], Any]) -> str | None:
    """Another block compiles nothing."""
    before = side.compilations()
    block()
    count = side.compilations() - before
    return f"it compiled {count} programs in a warm block" if count else None


def work(counted: int, formula: int) -> str | None:
    """The products of the step are those of the formula."""
    if counted == formula:
        return None
    return f"{counted:,} FLOP an iteration, by formula {formula:,}"
