"""Where two games diverge: iteration, player, phase, tensor, what follows."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiment.config import Config
from parity_tests.compare import Account, Gap, by_kind, gap


class Parting(NamedTuple):
    """The first place where the twins differ by more than a bound.

    Attributes:
        iteration: of Algorithm 1, from 1.
        phase: ``discriminator step``, ``generator step``, or ``either step``
            where only batch statistics differ, which both move.
        kind: metrics, gradients, moments, weights or statistics.
        gap: its error and tensor.
        growth: the largest error of every iteration from the first on.
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
            f"The twins diverge in iteration {self.iteration}, "
            f"{self.phase}: {self.kind} differ by {self.gap}.\n"
            f"Largest error of each iteration: {course}"
        )


def accounts_of_twins(
    config: Config, data: NDArray[np.floating], steps: int
) -> Iterator[tuple[Account, Account]]:
    """What every iteration of both twins leaves behind, side by side."""
    # A replay of another implementation needs only one of the frameworks.
    from parity_tests.pair import Pair

    pair = Pair(config, data)
    for number in range(steps):
        pair.step(number)
        yield pair.accounts()


def diagnose(
    accounts: Iterable[tuple[Account, Account]], bound: float = 1e-12
) -> Parting | None:
    """Follows two implementations until they diverge, and on to the end.

    Args:
        accounts: of every iteration, of both, best in float64.
        bound: how far apart they may be.

    Returns:
        Where they diverge, or None if they never do.
    """
    first: tuple[int, str, str, Gap] | None = None
    growth: list[float] = []
    for iteration, (ours, theirs) in enumerate(accounts, start=1):
        places = list(_places(ours, theirs))
        growth.append(max(found for *_, found in places).error)
        for phase, kind, found in places:
            if first is None and found.error > bound:
                first = iteration, phase, kind, found
    return Parting(*first, growth) if first else None


def _places(ours: Account, theirs: Account) -> Iterator[tuple[str, str, Gap]]:
    """Phase, kind and gap of all of an iteration, in the order of its making.

    Statistics come last: both steps move those of both players.
    """
    for side in ("discriminator", "generator"):
        mine, other = _of_player(side, ours), _of_player(side, theirs)
        states = by_kind(mine.state, other.state)
        found = {
            "metrics": gap(mine.metrics, other.metrics),
            "gradients": gap(mine.gradients, other.gradients),
            "moments": states["moments"],
            "weights": states["weights"],
        }
        for kind, value in found.items():
            yield f"{side} step", kind, value
    states = by_kind(ours.state, theirs.state)
    if "statistics" in states:
        yield "either step", "statistics", states["statistics"]


def _of_player(side: str, account: Account) -> Account:
    """The part of an account that is due to a step of one player."""
    of_generator = side == "generator"
    return Account(
        {
            name: value
            for name, value in account.metrics.items()
            if (name == "generator_loss") == of_generator
        },
        *(
            {k: v for k, v in arrays.items() if k.startswith(f"{side}/")}
            for arrays in (account.gradients, account.state)
        ),
    )
