"""What a variant must pass before it gets a number.

Each gate returns why it refuses, or None.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.variants import STEPS, Variant, losses


def parity(variant: Variant, tolerance: float) -> str | None:
    """The variant takes the steps of the plain one.

    After one iteration: moments (the gradients, as the optimizer got them)
    and batch statistics, relative to the largest of their array; weights,
    relative to the mean step. After ten: the losses.
    """
    before = variant.state(variant.create())
    game, _ = variant.run(variant.create(), 1)
    ours, (theirs, _) = variant.state(game), variant.plain(1)
    for name, b in theirs.items():
        a = ours[name]
        if not np.isfinite(a).all():
            return f"{name} is not finite"
        if "/params/" in name:
            scale = np.abs(b - before[name]).mean()
            if not np.abs(a - before[name]).any():
                return f"{name} did not change"
            error = np.abs(a - b).mean()
        else:
            scale, error = np.abs(b).max(), np.abs(a - b).max()
        if not error <= tolerance * (scale + 1e-12):
            return (
                f"{name} differs from the plain step by "
                f"{error / (scale + 1e-12):.1e}"
            )
    _, metrics = variant.run(variant.create(), STEPS)
    return _losses_agree(losses(metrics), variant.plain(STEPS)[1], tolerance)


def _losses_agree(
    ours: NDArray, theirs: NDArray, tolerance: float
) -> str | None:
    if not np.isfinite(ours).all():
        return "a loss is not finite"
    if len(np.unique(ours, axis=0)) < len(ours):
        return "two iterations have the same losses: the noise is the same"
    error = float(np.abs(ours - theirs).max())
    if not error <= tolerance:
        return f"losses of {STEPS} iterations differ by {error:.1e}"
    return None


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
