"""Where two games part: iteration, player, phase, tensor, and what follows."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiment.config import Config
from parity_tests.compare import Gap, gap
from parity_tests.pair import Pair


class Parting(NamedTuple):
    """The first place where the twins differ by more than a bound.

    Attributes:
        iteration: of Algorithm 1, from 1.
        phase: ``discriminator step``, ``generator step``, or ``either step``
            where only batch statistics differ, which both move.
        kind: metrics, gradients, moments, weights or statistics.
        gap: its error and tensor.
        growth: the largest gap of every iteration from the first on.
    """

    iteration: int
    phase: str
    kind: str
    gap: Gap
    growth: list[float]

    def __str__(self) -> str:
        """One paragraph for a person."""
        course = ", ".join(f"{error:.1e}" for error in self.growth)
        return (
            f"The twins part in iteration {self.iteration}, "
            f"{self.phase}: {self.kind} differ by {self.gap}.\n"
            f"Largest gap of each iteration: {course}"
        )


def diagnose(
    config: Config,
    data: NDArray[np.floating],
    steps: int,
    bound: float = 1e-12,
) -> Parting | None:
    """Runs both twins side by side until they part, and on to the end.

    Args:
        config: the experiment, best in float64.
        data: its training set.
        steps: iterations of the run.
        bound: how far apart the twins may be.

    Returns:
        Where they part, or None if they never do.
    """
    pair = Pair(config, data)
    first: tuple[int, str, str, Gap] | None = None
    growth: list[float] = []
    for number in range(steps):
        pair.step(number)
        places = _places(pair)
        growth.append(max(found for *_, found in places).error)
        for phase, kind, found in places:
            if first is None and found.error > bound:
                first = number + 1, phase, kind, found
    return Parting(*first, growth) if first else None


def _places(pair: Pair) -> list[tuple[str, str, Gap]]:
    """Phase, kind and gap of all of an iteration, in the order of its making.

    Statistics come last: both steps move those of both players.
    """
    ours, theirs = pair.metrics
    places, statistics = [], []
    for side in ("discriminator", "generator"):
        of_generator = side == "generator"
        names = [n for n in ours if (n == "generator_loss") == of_generator]
        metrics = gap(
            {n: ours[n] for n in names}, {n: theirs[n] for n in names}
        )
        found = {"metrics": metrics, **pair.gaps((side,))}
        for kind in ("metrics", "gradients", "moments", "weights"):
            places.append((f"{side} step", kind, found[kind]))
        statistics.append(("either step", "statistics", found["statistics"]))
    return places + statistics
