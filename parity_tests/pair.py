"""Both twins from the same weights on the same stream, side by side."""

from collections.abc import Collection, Iterator
from functools import partial
from typing import Any

import jax_gan
import torch_ref
from experiment.config import Config
from experiment.pixels import Data
from experiment.stream import Stream, fixed_noise
from parity_tests.check import check_pair
from parity_tests.compare import NO_GAP, Gap
from parity_tests.result import Result
from parity_tests.twin import EVALUATION, METRICS, PLAYERS, Iteration
from parity_tests.twin_jax import JaxTwin
from parity_tests.twin_torch import TorchTwin

TOLERANCE = 1e-12  # of float64
_KINDS = {"metric": "metrics", "gradient": "gradients"}


def both_games(config: Config, data: Data) -> tuple[Any, Any]:
    """The game in JAX and in PyTorch, from the weights that JAX drew."""
    jax_gan.select_device("cpu", config)
    torch_ref.select_device("cpu", config)
    ours = jax_gan.create(config, data)
    theirs = torch_ref.create(config, data)
    return ours, torch_ref.from_numpy(theirs, jax_gan.to_numpy(ours))


def iterations(config: Config, data: Data, steps: int) -> Iterator[Iteration]:
    """The batches of a run; the last iteration evaluates both players."""
    stream = Stream(config, data)
    evaluation = fixed_noise(config, 32), data[:32]
    for number in range(steps):
        last = number == steps - 1
        yield Iteration(stream.batch(number), evaluation if last else ())


def check_twins(
    config: Config,
    data: Data,
    steps: int,
    at: Collection[int] | None = None,
) -> Result:
    """Checks PyTorch's game against JAX's, which draws the weights.

    The bound is 1e-12, whatever rounding does.

    Args:
        config: the experiment, in float64.
        data: its training set.
        steps: iterations of the run; losses and probabilities are compared
            after every one.
        at: iterations (from 1) after which gradients, weights, moments and
            statistics are compared too; by default all.
    """
    return check_pair(
        partial(JaxTwin, config, data),
        partial(TorchTwin, config, data),
        iterations(config, data, steps),
        controls=0,
        floor=TOLERANCE,
        states_at=at,
        metrics=METRICS,
        order=PLAYERS,
    )


def worst_by_kind(result: Result) -> dict[str, Gap]:
    """The largest absolute difference of each kind over a whole check."""
    worst: dict[str, Gap] = {}
    for of in result.errors:
        kind = "evaluation" if of.name in EVALUATION else plural(of.kind)
        found = Gap(of.absolute, of.name)
        worst[kind] = max(worst.get(kind, NO_GAP), found)
    return worst


def plural(kind: str) -> str:
    """The kind of an array, as reports call all of them."""
    return _KINDS.get(kind, kind)


def worst_gaps(
    config: Config,
    data: Data,
    steps: int,
    at: Collection[int] | None = None,
) -> dict[str, Gap]:
    """The largest gap of each kind over a run of both twins.

    The arguments are those of ``check_twins``.
    """
    return worst_by_kind(check_twins(config, data, steps, at))
