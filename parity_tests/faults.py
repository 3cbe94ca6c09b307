"""Planted faults: each breaks the PyTorch twin on purpose.

The suite must catch every one that changes anything, so that a pass of the
suite means something. ``trap`` says which silent difference between the
frameworks, or which slip of a port, a fault stands for, and ``cure`` the line
that mends it: the catalogue of traps is made from them.
"""

import sys
from collections.abc import Callable
from math import exp, log
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import torch_ref
from experiment.stream import Stream
from parity_tests.small import small_config, small_data
from torch_ref import game, layers, models, optim

# The package exports the function of that name in the module's place.
train = sys.modules["torch_ref.train"]

Patch = pytest.MonkeyPatch


class Fault(NamedTuple):
    """One mistake that a port can make.

    Attributes:
        name: what is wrong.
        group: the part of a GAN that it is in.
        plant: puts the mistake into the PyTorch twin.
        cure: how a port avoids it.
        equivalent: why it changes nothing, where it does not.
        config: the experiment that shows it, as changes of ``small_config``.
    """

    name: str
    group: str
    plant: Callable[[Patch], None]
    cure: str
    equivalent: str
    config: dict[str, Any]


FAULTS: list[Fault] = []

DCGAN = {
    "network": "dcgan",
    "generator_hidden": (8, 4),
    "discriminator_hidden": (4, 8),
    "keep_hidden": 1.0,
    "output_bias": "constant",
}


def _fault(
    name: str, group: str, cure: str, equivalent: str = "", **config: Any
) -> Callable:
    """Lists a function that plants a fault."""

    def listed(plant: Callable[[Patch], None]):
        FAULTS.append(Fault(name, group, plant, cure, equivalent, config))
        return plant

    return listed


# Layout, padding and architecture


@_fault(
    "an image is flattened channels first",
    "layout",
    "permute to NHWC before the flatten, or permute the dense kernel's rows",
    **DCGAN,
)
def _flatten_channels_first(patch: Patch) -> None:
    sound = models.DCGANDiscriminator.forward

    def forward(self, x, masks):
        dense = self.output.forward

        def wrong(h):
            return dense(
                h.reshape(len(h), 7, 7, -1).flatten(1, 2).mT.flatten(1)
            )

        with Patch.context() as inner:
            inner.setattr(self.output, "forward", wrong)
            return sound(self, x, masks)

    patch.setattr(models.DCGANDiscriminator, "forward", forward)


@_fault(
    "G's first image is unflattened channels first",
    "layout",
    "reshape to (m, 7, 7, c), not to (m, c, 7, 7)",
    **DCGAN,
)
def _unflatten_channels_first(patch: Patch) -> None:
    sound = layers.BatchNorm.forward

    def forward(self, h):
        if h.shape[1:3] == (7, 7) and h.shape[3] == 8 and h.is_contiguous():
            m, c = len(h), h.shape[3]
            h = h.reshape(m, c, 7, 7).permute(0, 2, 3, 1)
        return sound(self, h)

    patch.setattr(layers.BatchNorm, "forward", forward)


def _with_kernel(patch: Patch, kind: type, change: Callable) -> None:
    """A convolution that uses its kernel (out, in, 4, 4) changed."""
    sound = kind.forward

    def forward(self, h):
        with Patch.context() as inner:
            weight = self.weight
            inner.setitem(self._parameters, "weight", change(weight))
            return sound(self, h)

    patch.setattr(kind, "forward", forward)


@_fault(
    "height and width of a kernel are swapped",
    "layout",
    "kernel.permute(2, 3, 1, 0): (out, in, h, w) to (h, w, in, out)",
    **DCGAN,
)
def _swapped_kernel(patch: Patch) -> None:
    _with_kernel(patch, layers.Convolution, lambda kernel: kernel.mT)


@_fault(
    "a kernel is flipped: convolution, not cross-correlation",
    "layout",
    "conv_transpose(..., transpose_kernel=True) flips; no flip anywhere else",
    **DCGAN,
)
def _flipped_kernel(patch: Patch) -> None:
    kind = layers.TransposedConvolution
    _with_kernel(patch, kind, lambda kernel: kernel.flip(2, 3))


@_fault(
    "padding is at the end of the image, as SAME puts an odd pixel",
    "layout",
    "explicit pads [(1, 1), (1, 1)], never 'SAME'",
    **DCGAN,
)
def _uneven_padding(patch: Patch) -> None:
    sound = layers.Convolution.forward

    def forward(self, h):
        h = h.roll((-1, -1), (1, 2))
        h = torch.cat([h[:, :-1], torch.zeros_like(h[:, -1:])], 1)
        h = torch.cat([h[:, :, :-1], torch.zeros_like(h[:, :, -1:])], 2)
        return sound(self, h)

    patch.setattr(layers.Convolution, "forward", forward)


@_fault(
    "a transposed convolution is off by one pixel",
    "layout",
    "pads (k - 1 - p, k - 1 - p + output_padding)",
    **DCGAN,
)
def _shifted_transposed(patch: Patch) -> None:
    sound = layers.TransposedConvolution.forward

    def forward(self, h):
        return sound(self, h).roll(1, 1)

    patch.setattr(layers.TransposedConvolution, "forward", forward)


# Activations


def _slope_of(slope: float) -> Callable[[Patch], None]:
    def plant(patch: Patch) -> None:
        patch.setattr(models, "leaky_relu", lambda h, _: F.leaky_relu(h, slope))

    return plant


_fault(
    "the slope of leaky ReLU is the default .01",
    "activations",
    "give the slope: both frameworks default to .01, DCGAN uses .2",
)(_slope_of(0.01))


@_fault(
    "leaky ReLU has derivative 1 at 0, as jax.nn.leaky_relu",
    "activations",
    "jnp.where(x > 0, x, slope * x)",
    **DCGAN,
)
def _kink(patch: Patch) -> None:
    patch.setattr(
        models, "leaky_relu", lambda h, a: torch.where(h >= 0, h, a * h)
    )


@_fault(
    "ReLU has derivative 1/2 at 0, as jnp.maximum(x, 0)",
    "activations",
    "jax.nn.relu",
    equivalent="no unit of G is at exactly 0 before its ReLU",
)
def _half_kink(patch: Patch) -> None:
    patch.setattr(
        models, "relu", lambda h: torch.maximum(h, torch.zeros_like(h))
    )


@_fault(
    "hidden units of G are leaky", "activations", "ReLU in G, leaky ReLU in D"
)
def _leaky_generator(patch: Patch) -> None:
    patch.setattr(models, "relu", lambda h: F.leaky_relu(h, 0.01))


@_fault(
    "GELU for ReLU, in its tanh form",
    "activations",
    "jax.nn.gelu is approximate by default, PyTorch's exact",
)
def _gelu(patch: Patch) -> None:
    patch.setattr(models, "relu", lambda h: F.gelu(h, approximate="tanh"))


@_fault(
    "the sigmoid of G is applied twice",
    "activations",
    "one output activation, inside G",
)
def _double_sigmoid(patch: Patch) -> None:
    patch.setitem(
        models.OUTPUTS, "sigmoid", lambda h: torch.sigmoid(torch.sigmoid(h))
    )


# Losses


def _with_loss(change: Callable) -> Callable[[Patch], None]:
    def plant(patch: Patch) -> None:
        patch.setattr(train, "discriminator_loss", change)

    return plant


_sound_loss = train.discriminator_loss

_fault(
    "D's loss is the mean of its halves",
    "losses",
    "add the two terms: V has no factor 1/2",
)(_with_loss(lambda real, fake: _sound_loss(real, fake) / 2))
_fault(
    "D's loss has its sign turned",
    "losses",
    "D descends -V",
)(_with_loss(lambda real, fake: -_sound_loss(real, fake)))
_fault(
    "D's loss sums over the minibatch",
    "losses",
    "mean; the learning rate is set for it",
)(_with_loss(lambda real, fake: len(real) * _sound_loss(real, fake)))
_fault(
    "labels of real images are smoothed to .9",
    "losses",
    "log D(x), no smoothing",
)(
    _with_loss(
        lambda real, fake: (
            0.9 * _sound_loss(real, fake) + 0.1 * _sound_loss(-real, fake)
        )
    )
)
_fault(
    "probabilities are clamped at 1e-7 before the logarithm, as in Keras",
    "losses",
    "log_sigmoid of the logits",
    discriminator_scale=0.8,
)(
    _with_loss(
        lambda real, fake: (
            -_clamped_log(real.sigmoid()) - _clamped_log(1 - fake.sigmoid())
        )
    )
)
_fault(
    "softplus is linear beyond 20, as F.softplus",
    "losses",
    "F.logsigmoid, or softplus with a threshold of 1000",
    discriminator_scale=0.8,
)(
    _with_loss(
        lambda real, fake: F.softplus(-real).mean() + F.softplus(fake).mean()
    )
)


def _clamped_log(probability: Tensor) -> Tensor:
    return probability.clamp(1e-7, 1 - 1e-7).log().mean()


@_fault(
    "G descends the other loss",
    "losses",
    "read which one a port calls minimax: log(1 - D) or -log D",
)
def _other_generator_loss(patch: Patch) -> None:
    known = game.GENERATOR_LOSSES
    patch.setitem(known, "non-saturating", known["saturating"])


@_fault(
    "G's loss has a factor 1/2",
    "losses",
    "no factor; Adam hides it from the weights, not from the moments",
)
def _halved_generator_loss(patch: Patch) -> None:
    sound = game.GENERATOR_LOSSES["non-saturating"]
    patch.setitem(
        game.GENERATOR_LOSSES, "non-saturating", lambda fake: sound(fake) / 2
    )


# Algorithm 1: order, noise, whose gradient


def _with_step(change: Callable) -> Callable[[Patch], None]:
    """Replaces one iteration by ``change(sound step, game, batch)``."""

    def plant(patch: Patch) -> None:
        sound = torch_ref.train_step
        patch.setattr(
            torch_ref,
            "train_step",
            lambda game, batch: change(sound, game, batch),
        )

    return plant


def _change_batch(change: Callable) -> Callable[[Patch], None]:
    return _with_step(lambda step, game, batch: step(game, change(batch)))


def _replace_discriminator(batch: Any, **fields: Any) -> Any:
    changed = batch.discriminator._replace(**fields)
    return batch._replace(discriminator=changed)


_fault(
    "G's step reuses the noise of D's",
    "algorithm",
    "sample a minibatch of noise for each step",
)(
    _change_batch(
        lambda batch: batch._replace(
            generator=batch.generator._replace(z=batch.discriminator.z[-1])
        )
    )
)
_fault(
    "all k steps of D see the same noise",
    "algorithm",
    "sample inside the loop over k",
    k=2,
)(
    _change_batch(
        lambda batch: _replace_discriminator(
            batch, z=batch.discriminator.z[:1].expand_as(batch.discriminator.z)
        )
    )
)
_fault(
    "all k steps of D see the same images",
    "algorithm",
    "sample inside the loop over k",
    k=2,
)(
    _change_batch(
        lambda batch: _replace_discriminator(
            batch, x=batch.discriminator.x[:1].expand_as(batch.discriminator.x)
        )
    )
)
_fault(
    "D takes one step for k = 2",
    "algorithm",
    "k steps of D for one of G",
    k=2,
)(
    _change_batch(
        lambda batch: batch._replace(
            discriminator=torch.utils._pytree.tree_map(
                lambda array: array[:1], batch.discriminator
            )
        )
    )
)


@_fault("G moves before D", "algorithm", "k steps of D, then one of G")
def _generator_first(patch: Patch) -> None:
    def train_step(game, batch):
        game, of_g = train.generator_step(game, batch.generator)
        for step in train.slices(batch.discriminator):
            game, of_d = train.discriminator_step(game, step)
        return game, train.Metrics(*of_d, of_g)

    patch.setattr(torch_ref, "train_step", train_step)


@_fault(
    "both players move at once, from the same old weights",
    "algorithm",
    "G's gradient uses the D that has just moved",
)
def _simultaneous(patch: Patch) -> None:
    def train_step(game, batch):
        G, D = game.generator, game.discriminator
        z, masks = batch.generator
        of_g = game.generator_loss(D(G(z), masks))
        G.optimizer.zero_grad()
        of_g.backward(inputs=list(G.network.parameters()))
        for step in train.slices(batch.discriminator):
            game, of_d = train.discriminator_step(game, step)
        G.optimizer.step()
        return game, train.Metrics(*of_d, of_g.detach())

    patch.setattr(torch_ref, "train_step", train_step)


@_fault(
    "gradients of earlier steps are not cleared",
    "algorithm",
    "optimizer.zero_grad() before every backward",
)
def _accumulated_gradients(patch: Patch) -> None:
    def descend(self, loss):
        loss.backward(inputs=list(self.network.parameters()))
        self.optimizer.step()

    patch.setattr(game.Player, "descend", descend)


@_fault(
    "the gradient of G's step leaks into D's next step",
    "algorithm",
    "backward(inputs=G's weights), or clear D's gradients after G's step",
)
def _leaking_gradient(patch: Patch) -> None:
    def descend(self, loss):
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=False)

    patch.setattr(game.Player, "descend", descend)


@_fault(
    "G moves in D's step too: the fake batch is not detached",
    "algorithm",
    "torch.no_grad() or stop_gradient around G in D's step",
)
def _not_detached(patch: Patch) -> None:
    def discriminator_step(game, batch):
        G, D = game.generator, game.discriminator
        real_logits = D(batch.x, batch.real_masks)
        fake_logits = D(G(batch.z), batch.fake_masks)
        value = train.discriminator_loss(real_logits, fake_logits)
        for player in (G, D):
            player.optimizer.zero_grad()
        value.backward()
        for player in (G, D):
            player.optimizer.step()
        D_real, D_fake = real_logits.sigmoid(), fake_logits.sigmoid()
        means = D_real.detach().mean(), D_fake.detach().mean()
        return game, (value.detach(), *means)

    patch.setattr(train, "discriminator_step", discriminator_step)


@_fault(
    "the stream is off by one iteration",
    "algorithm",
    "count iterations from 0 in both",
)
def _stream_off_by_one(patch: Patch) -> None:
    seen: list[int] = []

    def train_step(game, batch):
        seen.append(1)
        return sound(game, late[len(seen) - 1])

    sound = torch_ref.train_step
    stream = Stream(small_config(), small_data())
    late = [torch_ref.place(stream.batch(n + 1)) for n in range(3)]
    patch.setattr(torch_ref, "train_step", train_step)


_fault(
    "images of a minibatch come in another order",
    "algorithm",
    "none needed: losses are means over the minibatch",
    equivalent="without dropout masks a mean does not know the order",
    keep_hidden=1.0,
)(
    _change_batch(
        lambda batch: _replace_discriminator(
            batch, x=batch.discriminator.x.flip(1)
        )
    )
)


# Optimizers


def _with_groups(name: str, **changes: Any) -> Callable[[Patch], None]:
    """An optimizer whose constants differ."""

    def plant(patch: Patch) -> None:
        sound = optim.OPTIMIZERS[name]

        def changed(config, player, parameters):
            optimizer = sound(config, player, parameters)
            for group in optimizer.param_groups:
                group.update(changes)
            return optimizer

        patch.setitem(game.OPTIMIZERS, name, changed)

    return plant


_fault("Adam's b1 is .9", "optimizers", "b1 .5 for GANs, .9 by default")(
    _with_groups("adam", betas=(0.9, 0.999))
)
_fault("Adam's b2 is .9991", "optimizers", "compare at least three steps")(
    _with_groups("adam", betas=(0.5, 0.9991))
)
_fault("Adam's epsilon is 1e-7, as in Keras", "optimizers", "eps=1e-8")(
    _with_groups("adam", eps=1e-7)
)
_fault("Adam has weight decay", "optimizers", "none in a GAN's Adam")(
    _with_groups("adam", weight_decay=1e-4)
)
_fault(
    "momentum is Nesterov's",
    "optimizers",
    "nesterov=False",
    optimizer="sgd",
    learning_rate=0.02,
)(_with_groups("sgd", nesterov=True))
_fault(
    "momentum is dampened",
    "optimizers",
    "dampening=0",
    optimizer="sgd",
    learning_rate=0.02,
)(_with_groups("sgd", dampening=0.5))


def _with_update(rule: Callable, **config: Any) -> Callable[[Patch], None]:
    """An optimizer with ``rule(optimizer, group)`` in place of its step."""

    def plant(patch: Patch) -> None:
        for name, sound in list(optim.OPTIMIZERS.items()):

            def changed(config, player, parameters, sound=sound):
                optimizer = sound(config, player, parameters)
                step = optimizer.step

                def ruled():
                    rule(optimizer, optimizer.param_groups[0], step)

                optimizer.step = ruled
                return optimizer

            patch.setitem(game.OPTIMIZERS, name, changed)

    return plant


def _by_hand(optimizer: Any, group: Any, step: Any, change: Callable) -> None:
    """Adam written out, its last line left to ``change``."""
    b1, b2 = group["betas"]
    group["step"] += 1
    with torch.no_grad():
        for p in group["params"]:
            state = optimizer.state[p]
            state["step"] += 1
            t = int(state["step"])
            state["exp_avg"].lerp_(p.grad, 1 - b1)
            state["exp_avg_sq"].mul_(b2).addcmul_(p.grad, p.grad, value=1 - b2)
            m, v = state["exp_avg"], state["exp_avg_sq"]
            p -= change(m, v, 1 - b1**t, 1 - b2**t)


_RATE = 5e-4  # of the recipe mlp


def _in_float32(correction: float) -> float:
    """1 - b2^t as float32 computes it: t digits of b2 are lost."""
    t = round(log(1 - correction) / log(0.999))
    return float(np.float32(1) - np.float32(0.999) ** np.float32(t))


_fault(
    "Adam's moments are not corrected for their start at 0",
    "optimizers",
    "bias correction, 1 - b^t",
)(
    _with_update(
        lambda *a: _by_hand(
            *a, lambda m, v, c1, c2: _RATE * m / (v.sqrt() + 1e-8)
        )
    )
)
_fault(
    "Adam's epsilon is under the root",
    "optimizers",
    "eps, not eps_root, in Optax",
)(
    _with_update(
        lambda *a: _by_hand(
            *a, lambda m, v, c1, c2: _RATE * (m / c1) / (v / c2 + 1e-8).sqrt()
        )
    )
)
_fault(
    "Adam's bias correction is in float32, as Optax's without x64",
    "optimizers",
    "-expm1(t log b) in place of 1 - b^t, or x64",
)(
    _with_update(
        lambda *a: _by_hand(
            *a,
            lambda m, v, c1, c2: (
                _RATE * (m / c1) / ((v / _in_float32(c2)).sqrt() + 1e-8)
            ),
        )
    )
)


def _scaled_rate(factor: Callable) -> Callable:
    """Takes the optimizer's step, then moves the weights by factor of it."""

    def rule(optimizer: Any, group: Any, step: Callable) -> None:
        before = [p.detach().clone() for p in group["params"]]
        count = int(group["step"])
        step()
        with torch.no_grad():
            for p, old in zip(group["params"], before, strict=True):
                p.copy_(old + (p - old) * factor(count))

    return rule


_fault(
    "the learning rate is larger by a millionth",
    "optimizers",
    "float64 shows it, float32 hides it",
)(_with_update(_scaled_rate(lambda count: 1 + 1e-6)))
_fault(
    "the schedule is off by one step",
    "optimizers",
    "count from 0: the first step has the full rate",
    decay=0.99,
)(_with_update(_scaled_rate(lambda count: 0.99)))
_fault(
    "D's schedule counts its own steps, not iterations",
    "optimizers",
    "count // k for D",
    decay=0.99,
    k=2,
)(
    _with_update(
        _scaled_rate(lambda count: exp(log(0.99) * (count - count // 2)))
    )
)


@_fault(
    "one learning rate for both players",
    "optimizers",
    "each player has its own",
    generator_learning_rate=1e-3,
)
def _one_rate(patch: Patch) -> None:
    for name, sound in list(optim.OPTIMIZERS.items()):
        patch.setitem(
            game.OPTIMIZERS,
            name,
            lambda config, player, parameters, sound=sound: sound(
                config, "discriminator", parameters
            ),
        )


def _pylearn2_momentum(decay: float) -> Callable[[Patch], None]:
    def plant(patch: Patch) -> None:
        sound = optim.sgd

        def changed(config, player, parameters):
            optimizer = sound(config, player, parameters)
            group = optimizer.param_groups[0]
            group["decay"] = decay
            velocity = {p: torch.zeros_like(p) for p in group["params"]}

            def step():
                rate = 0.02 * exp(log(decay) * int(group["step"]))
                group["step"] += 1
                with torch.no_grad():
                    for p, v in velocity.items():
                        v.mul_(config.momentum).sub_(rate * p.grad)
                        p += v
                        buffer = optimizer.state[p]["momentum_buffer"]
                        buffer.copy_(-v / rate)

            optimizer.step = step
            return optimizer

        patch.setitem(game.OPTIMIZERS, "sgd", changed)

    return plant


_fault(
    "momentum holds the rate, as pylearn2's v = mu v - rate g; the rate falls",
    "optimizers",
    "v = mu v + g, p = p - rate v, in both",
    optimizer="sgd",
    learning_rate=0.02,
    decay=0.99,
)(_pylearn2_momentum(0.99))
_fault(
    "momentum holds the rate, as pylearn2's; the rate is constant",
    "optimizers",
    "none needed while rate and momentum are constant",
    equivalent="v only carries the constant rate as a factor",
    optimizer="sgd",
    learning_rate=0.02,
)(_pylearn2_momentum(1.0))


# Batch normalisation


def _with_norm(**changes: Any) -> Callable[[Patch], None]:
    """Batch norms whose constants differ."""

    def plant(patch: Patch) -> None:
        sound = layers.BatchNorm.__init__

        def init(self, features):
            sound(self, features)
            for name, value in changes.items():
                setattr(self, name, value)

        patch.setattr(layers.BatchNorm, "__init__", init)

    return plant


_fault(
    "running statistics move by 1/100, as Flax's default",
    "batch norm",
    "Flax's momentum .9 is PyTorch's .1: the weight of the old value",
    **DCGAN,
)(_with_norm(momentum=0.01))
_fault(
    "epsilon is 1e-3, as in Keras",
    "batch norm",
    "1e-5 in PyTorch and Flax",
    **DCGAN,
)(_with_norm(eps=1e-3))


@_fault(
    "the running variance is that of the batch, biased, as Flax's",
    "batch norm",
    "n / (n - 1) in the running variance alone",
    **DCGAN,
)
def _biased_variance(patch: Patch) -> None:
    sound = layers.BatchNorm.forward

    def forward(self, h):
        kept = 0.9 * self.running_var
        output = sound(self, h)
        if self.training:
            n = h.numel() // h.shape[-1]
            self.running_var = kept + (self.running_var - kept) * (n - 1) / n
        return output

    patch.setattr(layers.BatchNorm, "forward", forward)


@_fault(
    "the batch is normalised by its unbiased variance",
    "batch norm",
    "biased variance in the normalisation",
    **DCGAN,
)
def _unbiased_normalisation(patch: Patch) -> None:
    sound = layers.BatchNorm.forward

    def forward(self, h):
        output = sound(self, h)
        n = h.numel() // h.shape[-1]
        factor = ((n - 1) / n) ** 0.5 if self.training else 1.0
        return (output - self.bias) * factor + self.bias

    patch.setattr(layers.BatchNorm, "forward", forward)


@_fault(
    "training uses the running statistics",
    "batch norm",
    "mutable batch_stats, or network.train()",
    **DCGAN,
)
def _always_evaluating(patch: Patch) -> None:
    def forward(self, h):
        return nn.functional.batch_norm(
            h.permute(0, 3, 1, 2),
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
        ).permute(0, 2, 3, 1)

    patch.setattr(layers.BatchNorm, "forward", forward)


@_fault(
    "D sees the fake images before the real ones",
    "batch norm",
    "real first: the order shows in the running statistics alone",
    **DCGAN,
)
def _fake_first(patch: Patch) -> None:
    def discriminator_step(game, batch):
        G, D = game.generator, game.discriminator
        with torch.no_grad():
            fake = G(batch.z)
        fake_logits = D(fake, {})
        real_logits = D(batch.x, {})
        value = train.discriminator_loss(real_logits, fake_logits)
        D.descend(value)
        means = (
            real_logits.sigmoid().detach().mean(),
            fake_logits.sigmoid().detach().mean(),
        )
        return game, (value.detach(), *means)

    patch.setattr(train, "discriminator_step", discriminator_step)


@_fault(
    "real and fake images are normalised as one batch",
    "batch norm",
    "two calls of D: each batch has its own statistics",
    **DCGAN,
)
def _joint_batch(patch: Patch) -> None:
    def discriminator_step(game, batch):
        G, D = game.generator, game.discriminator
        with torch.no_grad():
            fake = G(batch.z)
        both = D(torch.cat([batch.x, fake]), {})
        real_logits, fake_logits = both.chunk(2)
        value = train.discriminator_loss(real_logits, fake_logits)
        D.descend(value)
        means = (
            real_logits.sigmoid().detach().mean(),
            fake_logits.sigmoid().detach().mean(),
        )
        return game, (value.detach(), *means)

    patch.setattr(train, "discriminator_step", discriminator_step)


def _statistics_lost(step: str, side: str) -> Callable[[Patch], None]:
    """The running statistics of one player are put back after a step."""

    def plant(patch: Patch) -> None:
        sound = getattr(train, step)

        def changed(game, batch):
            network = getattr(game, side).network
            kept = {k: v.clone() for k, v in network.named_buffers()}
            result = sound(game, batch)
            for name, buffer in network.named_buffers():
                buffer.copy_(kept[name])
            return result

        patch.setattr(train, step, changed)

    return plant


_fault(
    "G's statistics do not move in D's step",
    "batch norm",
    "thread G through D's step: PyTorch moves them there too",
    **DCGAN,
)(_statistics_lost("discriminator_step", "generator"))
_fault(
    "D's statistics do not move in G's step",
    "batch norm",
    "thread D through G's step: PyTorch moves them there too",
    **DCGAN,
)(_statistics_lost("generator_step", "discriminator"))


# Dropout


def _scaled_masks(masks: dict, factor: float) -> dict:
    return {name: factor * mask for name, mask in masks.items()}


_fault(
    "dropout does not scale what it keeps",
    "dropout",
    "1/keep while training",
)(
    _change_batch(
        lambda batch: _replace_discriminator(
            batch,
            real_masks=_scaled_masks(batch.discriminator.real_masks, 0.5),
            fake_masks=_scaled_masks(batch.discriminator.fake_masks, 0.5),
        )
    )
)
_fault(
    "real and fake images share a dropout mask",
    "dropout",
    "a key for each call of D",
)(
    _change_batch(
        lambda batch: _replace_discriminator(
            batch, fake_masks=batch.discriminator.real_masks
        )
    )
)
_fault(
    "there is no dropout in G's step",
    "dropout",
    "D is in training mode while G learns",
)(
    _change_batch(
        lambda batch: batch._replace(
            generator=batch.generator._replace(masks={})
        )
    )
)


@_fault(
    "dropout comes before the activation",
    "dropout",
    "none needed for a leaky ReLU",
    equivalent="a mask is not negative, and f(c h) = c f(h) for c >= 0",
)
def _dropout_first(patch: Patch) -> None:
    def forward(self, x, masks):
        h = layers.dropout(x.reshape(len(x), -1), masks.get("input"))
        for i, layer in enumerate(self.hidden):
            h = layers.dropout(layer(h), masks.get(f"hidden_{i}"))
            h = layers.leaky_relu(h, self.config.slope)
        return self.output(h)[:, 0]

    patch.setattr(models.MLPDiscriminator, "forward", forward)


# Numbers


def _rounded(tensor: Tensor, kind: torch.dtype) -> Tensor:
    return tensor + (tensor.to(kind).to(tensor.dtype) - tensor).detach()


@_fault(
    "one product of matrices is in float32",
    "numbers",
    "a float32 leaf under x64: give param_dtype and dtype",
)
def _float32_product(patch: Patch) -> None:
    sound = layers.Dense.forward
    patch.setattr(
        layers.Dense,
        "forward",
        lambda self, h: _rounded(sound(self, h), torch.float32),
    )


@_fault(
    "inputs of products are rounded to 10 bits, as TF32 does",
    "numbers",
    "jax_default_matmul_precision='highest'; allow_tf32=False",
)
def _tf32(patch: Patch) -> None:
    sound = layers.Dense.forward
    patch.setattr(
        layers.Dense,
        "forward",
        lambda self, h: sound(self, _rounded(h, torch.float16)),
    )


@_fault(
    "a weight stays in float32",
    "numbers",
    "the whole game in one precision",
)
def _float32_leaf(patch: Patch) -> None:
    sound = torch_ref.from_numpy

    def from_numpy(game, arrays):
        game = sound(game, arrays)
        with torch.no_grad():
            weight = game.generator.network.output.weight
            weight.copy_(weight.float().double())
        return game

    patch.setattr(torch_ref, "from_numpy", from_numpy)


_fault(
    "images are multiplied by 1/255, as XLA does for x / 255",
    "numbers",
    "normalise once, in NumPy",
    equivalent="one unit in the last place, below every bound",
)(
    _change_batch(
        lambda batch: _replace_discriminator(
            batch,
            x=(batch.discriminator.x * 255).round() * (1 / 255),
        )
    )
)
