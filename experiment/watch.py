"""The watch over a run: whether its game has collapsed.

Training can collapse without an error: D becomes certain and G's gradients
vanish, or G ignores z and draws one image. The watch looks at the last
``WINDOW`` iterations, so that a crisis from which the game recovers is no
collapse.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiment.config import Config
from experiment.pixels import Data
from experiment.recipes import DEFAULT, RECIPES, starts_of
from experiment.validity import PAPER_LOSSES

WINDOW = 500  # iterations that a sign must last
REAL_CERTAIN, FAKE_CERTAIN = 0.99, 0.01  # mean D(x) above, D(G(z)) below
ONE_IMAGE = 0.02  # spread of samples over that of the data, below

_MOST_NUMBERS = 2**22  # of a training set, to measure its spread
_PIECE = 50  # iterations of a past run between two evaluations

SIGNS = {
    "D saturated": "D tells every sample from the data with certainty, so G "
    "has almost no gradient left, and not every game recovers",
    "one image": "samples of different z are nearly one image: G ignores z",
}


@dataclass(frozen=True)
class Collapse:
    """A collapse that the watch has seen.

    Attributes:
        since: first iteration of the window that shows it.
        noticed: its last iteration.
        sign: which of ``SIGNS`` it shows.
    """

    since: int
    noticed: int
    sign: str

    def __str__(self) -> str:
        """What happened, and what it means."""
        return (
            f"collapsed at iteration {self.since:,} ({self.sign}): "
            f"{SIGNS[self.sign]}"
        )


def describe_collapse(collapse: Collapse, config: Config) -> str:
    """A collapse in words, how usual it is and what helps."""
    remedies = ["another --seed"]
    known = RECIPES.get(config.recipe)
    if known and config.learning_rate > known.learning_rate:
        remedies.append(f"the recipe's --learning-rate {known.learning_rate:g}")
    if config.loss == "saturating":
        remedies.append("--loss non-saturating")
    if config.optimizer == "adam" and config.b2 > 0.99:
        remedies.append("--b2 .99")
    if config.recipe != DEFAULT:
        remedies.append(f"--recipe {DEFAULT}")
    found = f"{collapse}. What helps: {', '.join(remedies)}"
    if starts := starts_of(config):
        found += f". {starts}"
    return found


def spread(samples: NDArray[np.floating]) -> float:
    """Standard deviation over samples (n, ...), the mean over its elements.

    Zero if all samples are the same.

    Example:
        >>> spread(np.array([[0.0, 1.0], [1.0, 1.0]]))
        0.25
    """
    return float(samples.std(0, dtype=np.float64).mean())


def data_spread(config: Config, data: Data) -> float:
    """``spread`` of a training set, in the range of ``sample_images``.

    Of a large one, that of examples at equal distances.
    """
    few = data[:: -(-data.size // _MOST_NUMBERS)]
    return spread(few) / (2 if config.output == "tanh" else 1)


class Watch:
    """Follows a run's metrics, in order, and sees a collapse."""

    def __init__(self, data_spread: float, loss: str):
        """Starts with no history.

        Args:
            data_spread: ``spread`` of the data, in the range of the samples.
            loss: of the config.
        """
        self._threshold = ONE_IMAGE * data_spread
        # Under hinge and least-squares recipe lecture passes both bounds while
        # its G keeps learning: D(x) is no sigmoid there.
        self._saturates = loss in PAPER_LOSSES
        self._steps: deque[int] = deque(maxlen=WINDOW)
        self._real: deque[float] = deque(maxlen=WINDOW)
        self._fake: deque[float] = deque(maxlen=WINDOW)
        # nan where it was not measured
        self._spread: deque[float] = deque(maxlen=WINDOW)

    def follow(self, history: dict[str, NDArray[Any]]) -> Collapse | None:
        """The first collapse in the past of a run; ``history`` may be empty."""
        length = len(history.get("step", ()))
        found = None
        for first in range(0, length, _PIECE):
            piece = slice(first, first + _PIECE)
            seen = self.update({k: v[piece] for k, v in history.items()})
            found = found or seen
        return found

    def update(self, history: dict[str, NDArray[Any]]) -> Collapse | None:
        """The collapse that the window shows after more iterations, if any.

        Args:
            history: columns of ``metrics.jsonl``, one value an iteration:
                ``step``, ``real_probability``, ``fake_probability`` and
                ``sample_spread``, which is nan where it was not measured.
        """
        self._steps.extend(history["step"].tolist())
        self._real.extend(history["real_probability"].tolist())
        self._fake.extend(history["fake_probability"].tolist())
        self._spread.extend(history["sample_spread"].tolist())
        if len(self._steps) < WINDOW:
            return None
        certain = self._saturates and np.mean(self._real) > REAL_CERTAIN
        if certain and np.mean(self._fake) < FAKE_CERTAIN:
            return Collapse(self._steps[0], self._steps[-1], "D saturated")
        measured = [value for value in self._spread if not np.isnan(value)]
        if measured and max(measured) < self._threshold:
            return Collapse(self._steps[0], self._steps[-1], "one image")
        return None
