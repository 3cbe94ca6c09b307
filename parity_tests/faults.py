"""Planted faults: each breaks the PyTorch twin on purpose.

The suite must catch every one, so that a pass of the suite means something.
"""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

import torch_ref.game
import torch_ref.layers
import torch_ref.optim
import torch_ref.train

# The package exports the function of that name in the module's place.
_train_module = sys.modules["torch_ref.train"]


class Fault(NamedTuple):
    """One mistake that a port can make.

    Attributes:
        name: what is wrong.
        plant: puts the mistake into the PyTorch twin.
        config: the experiment that shows it, as changes of ``tiny``.
    """

    name: str
    plant: Callable[[pytest.MonkeyPatch], None]
    config: dict[str, Any]


FAULTS: list[Fault] = []

_DCGAN = {
    "network": "dcgan",
    "generator_hidden": (8, 4),
    "discriminator_hidden": (4, 8),
    "keep_hidden": 1.0,
    "output_bias": "constant",
}


def _fault(name: str, **config: Any) -> Callable:
    """Lists a function that plants a fault."""

    def listed(plant: Callable[[pytest.MonkeyPatch], None]):
        FAULTS.append(Fault(name, plant, config))
        return plant

    return listed


@_fault("G's step reuses the noise of D's")
def _reused_noise(patch: pytest.MonkeyPatch) -> None:
    sound = torch_ref.train_step

    def train_step(game, batch):
        z = batch.discriminator.z[-1]
        reused = batch.generator._replace(z=z)
        return sound(game, batch._replace(generator=reused))

    patch.setattr(torch_ref, "train_step", train_step)


@_fault("D's loss is halved")
def _halved_loss(patch: pytest.MonkeyPatch) -> None:
    sound = _train_module.discriminator_loss
    patch.setattr(
        _train_module,
        "discriminator_loss",
        lambda real_logits, fake_logits: sound(real_logits, fake_logits) / 2,
    )


@_fault("gradients of earlier steps are not cleared")
def _accumulated_gradients(patch: pytest.MonkeyPatch) -> None:
    def descend(self, loss):
        loss.backward(inputs=list(self.network.parameters()))
        self.optimizer.step()

    patch.setattr(torch_ref.game.Player, "descend", descend)


@_fault("Adam's b2 is .9991")
def _other_b2(patch: pytest.MonkeyPatch) -> None:
    sound = torch_ref.optim.adam

    def adam(config, player, parameters):
        optimizer = sound(config, player, parameters)
        for group in optimizer.param_groups:
            group["betas"] = (config.b1, 0.9991)
        return optimizer

    patch.setitem(torch_ref.optim.OPTIMIZERS, "adam", adam)


@_fault("the running variance is that of the batch, biased", **_DCGAN)
def _biased_variance(patch: pytest.MonkeyPatch) -> None:
    sound = torch_ref.layers.BatchNorm.forward

    def forward(self, h):
        kept = 0.9 * self.running_var
        output = sound(self, h)
        if self.training:
            n = h.numel() // h.shape[-1]
            moved = (self.running_var - kept) * (n - 1) / n
            self.running_var = kept + moved
        return output

    patch.setattr(torch_ref.layers.BatchNorm, "forward", forward)
