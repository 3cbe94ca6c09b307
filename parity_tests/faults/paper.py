"""The paper's code: maxout, its momentum, and simultaneous updates."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from parity_tests.faults.base import Patch, Plant, fault, train
from torch_ref import maxout, optim
from torch_ref.game import Game

# Two units with dropout: for every fourth image both are dropped, and all
# pieces of the next layer tie. Schedules run through in three iterations.
PAPER: dict[str, Any] = {
    "updates": "simultaneous",
    "network": "maxout",
    "pieces": 4,
    "discriminator_hidden": (2, 3),
    "keep_input": 0.8,
    "optimizer": "classical-momentum",
    "learning_rate": 0.1,
    "decay": 0.9,
    "min_learning_rate": 0.085,
    "epoch_steps": 2,
    "saturation_epoch": 3,
}


# Maxout


def _with_maxout(wrong: Callable) -> Plant:
    return lambda patch: patch.setattr(maxout, "maxout", wrong)


fault(
    "a tie of maxout pieces gives its gradient to one of them",
    "maxout",
    "amax, not max(dim), in PyTorch: JAX shares the gradient",
    **PAPER,
)(_with_maxout(lambda h, pieces: h.reshape(len(h), -1, pieces).max(-1).values))
fault(
    "pieces of a maxout unit lie apart, not side by side",
    "maxout",
    "reshape to (m, units, pieces), as pylearn2 pools",
    **PAPER,
)(_with_maxout(lambda h, pieces: h.reshape(len(h), pieces, -1).amax(1)))
fault(
    "maxout is never below zero",
    "maxout",
    "no zero among the pieces (pylearn2's min_zero is off)",
    **PAPER,
)(_with_maxout(lambda h, pieces: h.reshape(len(h), -1, pieces).amax(-1).relu()))


# Momentum and its schedules


def _with_schedule(name: str, wrong: Callable) -> Plant:
    """``wrong(original schedule, config, ...)`` in place of a schedule."""

    def plant(patch: Patch) -> None:
        sound = getattr(optim, name)
        patch.setattr(optim, name, lambda *a: wrong(sound, *a))

    return plant


fault(
    "the momentum schedule is off by one epoch",
    "classical momentum",
    "epoch 1 has the first momentum: pylearn2 counts before it",
    **PAPER,
)(
    _with_schedule(
        "momentum", lambda sound, config, t, xp: sound(config, t + 2, xp)
    )
)
fault(
    "momentum rises at every iteration, not at every epoch",
    "classical momentum",
    "t // epoch_steps: pylearn2 sets it after an epoch",
    **PAPER,
)(
    _with_schedule(
        "momentum",
        lambda sound, config, *a: sound(
            replace(config, epoch_steps=1, saturation_epoch=5), *a
        ),
    )
)
fault(
    "the learning rate falls below its floor",
    "classical momentum",
    "max(rate, min_learning_rate)",
    **PAPER,
)(
    _with_schedule(
        "learning_rate",
        lambda sound, config, *a: sound(
            replace(config, min_learning_rate=0.0), *a
        ),
    )
)
fault(
    "D's momentum counts its own steps, not iterations",
    "classical momentum",
    "count // k for D",
    **{**PAPER, "updates": "alternating", "k": 2},
)(_with_schedule("iteration", lambda sound, config, player, step: step))


@fault(
    "classical momentum in the form of torch.optim.SGD; the rate falls",
    "classical momentum",
    "v = mu v - rate g, p = p + v: v carries the rates of its past",
    **PAPER,
)
def _form_of_sgd(patch: Patch) -> None:
    @torch.no_grad()
    def step(self, closure=None):
        (group,) = self.param_groups
        rate = group["lr"].clone()
        before = group.get("before", rate)
        group["before"] = rate
        for p in group["params"]:
            v = self.state[p]["velocity"]
            v.mul_(group["mu"] * rate / before).sub_(rate * p.grad)
            p.add_(v)

    patch.setattr(optim.ClassicalMomentum, "step", _profiled(step))


def _profiled(step: Callable) -> Callable:
    """Runs the hooks that count and schedule before the step."""
    return torch.optim.Optimizer.profile_hook_step(step)


# Simultaneous updates


def _with_step(
    half: float = 0.5,
    noise: Callable = lambda z: z,
    own_masks: bool = False,
    discriminator_first: bool = False,
) -> Plant:
    """The simultaneous step once more, with room for each mistake."""

    def step(game, batch):
        x, z, real_masks, fake_masks = batch
        G, D = game.generator, game.discriminator
        real_logits, fake_logits = D(x, real_masks), D(G(z), fake_masks)
        of_d = half * game.loss.discriminator(real_logits, fake_logits)
        _differentiate(D, of_d)
        if discriminator_first:
            D.optimizer.step()
        masks = real_masks if own_masks else fake_masks
        of_g = game.loss.generator(D(G(noise(z)), masks))
        _differentiate(G, of_g)
        if not discriminator_first:
            D.optimizer.step()
        G.optimizer.step()
        means = [a.sigmoid().mean() for a in (real_logits, fake_logits)]
        values = of_d, *means, of_g
        return game, train.Metrics(*(value.detach() for value in values))

    return lambda patch: patch.setattr(Game, "step", step)


def _differentiate(player: Any, value: torch.Tensor) -> None:
    player.optimizer.zero_grad()
    value.backward(inputs=list(player.network.parameters()))


fault(
    "the fake batch of simultaneous players is computed twice",
    "simultaneous updates",
    "none needed",
    equivalent="the same noise, weights and masks give the same batch",
    **PAPER,
)(_with_step())
fault(
    "simultaneous players: G's fake batch is drawn again",
    "simultaneous updates",
    "one fake batch for both losses",
    **PAPER,
)(_with_step(noise=lambda z: -z))
fault(
    "simultaneous players: G's loss has separate dropout masks",
    "simultaneous updates",
    "one D(G(z)) for both losses, its masks included",
    **PAPER,
)(_with_step(own_masks=True))
fault(
    "simultaneous players: D moves before G",
    "simultaneous updates",
    "take both gradients, then both steps",
    **PAPER,
)(_with_step(discriminator_first=True))
fault(
    "simultaneous players: D's loss lacks the factor 1/2",
    "simultaneous updates",
    "0.5 (BCE of real + BCE of fake), in the authors' code only",
    **PAPER,
)(_with_step(half=1.0))
