"""Both twins from the same weights on the same stream, side by side."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
import torch
from flax.traverse_util import flatten_dict
from numpy.typing import NDArray

import jax_gan
import torch_ref
from experiment.config import Config
from experiment.stream import Stream, fixed_noise
from jax_gan.weights import neutral as our_neutral
from parity_tests.compare import NO_GAP, Account, Arrays, Gap, by_kind, gap
from torch_ref.weights import named_parameters
from torch_ref.weights import neutral as their_neutral

SIDES = ("generator", "discriminator")


class _Recorded(NamedTuple):
    """An optimizer's state, and the gradients that it was last given."""

    inner: Any
    gradients: Any


@cache
def _recording(
    optimizer: optax.GradientTransformation,
) -> optax.GradientTransformation:
    """The same optimizer; it keeps the gradients in sight."""

    def init(params):
        zeros = jax.tree.map(jax.numpy.zeros_like, params)
        return _Recorded(optimizer.init(params), zeros)

    def update(gradients, state, params=None):
        updates, inner = optimizer.update(gradients, state.inner, params)
        return updates, _Recorded(inner, gradients)

    return optax.GradientTransformation(init, update)


def both_games(config: Config, data: NDArray[np.floating]) -> tuple[Any, Any]:
    """The game in JAX and in PyTorch, from the weights that JAX drew."""
    jax_gan.select_device("cpu", config)
    torch_ref.select_device("cpu", config)
    ours = jax_gan.create(config, data)
    theirs = torch_ref.create(config, data)
    return ours, torch_ref.from_numpy(theirs, jax_gan.to_numpy(ours))


@dataclass
class Pair:
    """A game in JAX and the same game in PyTorch.

    The JAX twin draws the weights; PyTorch gets a copy of them.
    """

    config: Config
    data: NDArray[np.floating]

    def __post_init__(self):
        """Creates both games."""
        self._device = jax_gan.select_device("cpu", self.config)
        torch_ref.select_device("cpu", self.config)
        game = jax_gan.create(self.config, self.data, self._device)
        players = {side: _with_recording(getattr(game, side)) for side in SIDES}
        # On the device as the next steps' game will be, or they compile again.
        self.ours = jax.device_put(replace(game, **players), self._device)
        self.theirs = torch_ref.from_numpy(
            torch_ref.create(self.config, self.data), jax_gan.to_numpy(game)
        )
        self._stream = Stream(self.config, self.data)

    def step(self, number: int) -> Gap:
        """One iteration of both on the same batch; the gap of its metrics."""
        batch = self._stream.batch(number)
        self.ours, our_metrics = self.ours.step(
            jax_gan.place(batch, self._device)
        )
        self.theirs, their_metrics = self.theirs.step(torch_ref.place(batch))
        ours = jax_gan.fetch(our_metrics)
        theirs = torch_ref.fetch(their_metrics)
        self._metrics = ours, theirs
        return gap(ours, theirs)

    def accounts(self) -> tuple[Account, Account]:
        """What the last step left behind, in JAX and in PyTorch."""
        ours, theirs = self._metrics
        return (
            Account(ours, self._our_gradients(), jax_gan.to_numpy(self.ours)),
            Account(
                theirs,
                self._their_gradients(),
                torch_ref.to_numpy(self.theirs),
            ),
        )

    def gaps(self) -> dict[str, Gap]:
        """The gaps of gradients and state after a step, by kind."""
        ours, theirs = self.accounts()
        gradients = gap(ours.gradients, theirs.gradients)
        return {"gradients": gradients, **by_kind(ours.state, theirs.state)}

    def evaluation(self) -> Gap:
        """The gap of samples, and of D on data, in evaluation mode."""
        z, x = fixed_noise(self.config, 32), self.data[:32]
        return gap(
            {
                "G(z)": jax_gan.sample_images(self.ours, z),
                "D(x)": jax_gan.discriminate(self.ours, x),
            },
            {
                "G(z)": torch_ref.sample_images(self.theirs, z),
                "D(x)": torch_ref.discriminate(self.theirs, x),
            },
        )

    def _our_gradients(self) -> Arrays:
        trees = {
            side: getattr(self.ours, side).optimizer_state.gradients
            for side in SIDES
        }
        flat = flatten_dict(trees, sep="/")
        return {name: our_neutral(leaf).copy() for name, leaf in flat.items()}

    def _their_gradients(self) -> Arrays:
        return {
            f"{side}/{name}": their_neutral(_gradient(parameter)).numpy().copy()
            for side in SIDES
            for name, parameter in named_parameters(
                getattr(self.theirs, side).network
            )
        }


def _gradient(parameter: torch.nn.Parameter) -> torch.Tensor:
    assert parameter.grad is not None, "there was no step yet"
    return parameter.grad


def _with_recording(player: Any) -> Any:
    optimizer = _recording(player.optimizer)
    state = optimizer.init(player.params)
    return replace(player, optimizer=optimizer, optimizer_state=state)


def worst_gaps(
    config: Config, data: NDArray[np.floating], steps: int, at: Iterable[int]
) -> dict[str, Gap]:
    """The largest gap of each kind over a run of both twins.

    Args:
        config: the experiment.
        data: its training set.
        steps: iterations of the run; losses and probabilities are compared
            after every one.
        at: iterations (from 1) after which gradients, weights, moments and
            statistics are compared too.
    """
    pair = Pair(config, data)
    worst: dict[str, Gap] = {}
    for number in range(steps):
        found = {"metrics": pair.step(number)}
        if number + 1 in at:
            found |= pair.gaps()
        for kind, value in found.items():
            worst[kind] = max(worst.get(kind, NO_GAP), value)
    return {**worst, "evaluation": pair.evaluation()}
