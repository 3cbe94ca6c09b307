"""The same GAN once more, in Flax NNX, written from a trajectory's index.

``jax_gan`` is in Linen because pure functions show Algorithm 1 as equations:
a step takes a game and returns the next. In NNX players change in place, as
in PyTorch; a replay verifies that the choice is one of style.
"""

from functools import partial
from itertools import pairwise
from math import log, prod
from typing import Any

import jax.numpy as jnp
import optax
from flax import nnx
from jax.nn import log_sigmoid, relu, sigmoid, tanh

OUTPUTS = {"sigmoid": sigmoid, "tanh": tanh, "linear": lambda h: h}


def _minimax(real, fake):
    return -log_sigmoid(real).mean() - log_sigmoid(-fake).mean()


# D's loss, G's loss, and the probability that a logit stands for.
LOSSES = {
    "saturating": (_minimax, lambda fake: log_sigmoid(-fake).mean(), sigmoid),
    "non-saturating": (
        _minimax,
        lambda fake: -log_sigmoid(fake).mean(),
        sigmoid,
    ),
    "hinge": (
        lambda real, fake: relu(1 - real).mean() + relu(1 + fake).mean(),
        lambda fake: -fake.mean(),
        lambda a: 1.0 * (a > 0),
    ),
    "least-squares": (
        lambda real, fake: ((real - 1) ** 2).mean() / 2 + (fake**2).mean() / 2,
        lambda fake: ((fake - 1) ** 2).mean() / 2,
        lambda a: a,
    ),
}


class BatchNorm(nnx.BatchNorm):
    """Batch normalisation in training, with PyTorch's running variance."""

    def __call__(self, h):  # type: ignore[override]
        """Normalises h; makes unbiased what NNX adds to the variance."""
        n, before = h.size // h.shape[-1], self.var[...]
        h = super().__call__(h, use_running_average=False)
        self.var[...] += (self.var[...] - self.momentum * before) / (n - 1)
        return h


def create_layers(config):
    """The layers of G and of D; their weights are of no account."""
    shape, noise = config["sample_shape"], config["noise_size"]
    g, d = config["generator_hidden"], config["discriminator_hidden"]
    options: Any = {"param_dtype": config["precision"], "rngs": nnx.Rngs(0)}
    dense: Any = partial(nnx.Linear, **options)
    if config["network"] == "mlp":
        G = nnx.Dict(output=dense(g[-1], prod(shape)))
        D = nnx.Dict(output=dense(d[-1], 1))
        for layers, *sizes in (G, noise, *g), (D, prod(shape), *d):
            for i, pair in enumerate(pairwise(sizes)):
                layers[f"hidden_{i}"] = dense(*pair)
        return G, D
    norm: Any = partial(BatchNorm, momentum=0.9, **options)
    options |= {"kernel_size": (4, 4), "strides": 2}
    halve: Any = partial(nnx.Conv, padding=1, **options)
    # Padding 2 of the dilated image is what PyTorch calls padding 1.
    options |= {"padding": ((2, 2), (2, 2)), "transpose_kernel": True}
    double: Any = partial(nnx.ConvTranspose, **options)
    of_g, of_d = shape[0] // 2 ** len(g), shape[0] // 2 ** len(d)
    G = nnx.Dict(project=dense(noise, of_g**2 * g[0], use_bias=False))
    D = nnx.Dict(input=halve(shape[-1], d[0]))
    for i, features in enumerate(g):
        G[f"norm_{i}"] = norm(features)
    for i, pair in enumerate(pairwise(g)):
        G[f"upsample_{i}"] = double(*pair, use_bias=False)
    for i, pair in enumerate(pairwise(d)):
        D[f"downsample_{i}"] = halve(*pair, use_bias=False)
        D[f"norm_{i}"] = norm(pair[1])
    G["output"] = double(g[-1], shape[-1])
    sizes = [of_d**2 * d[-1], *config.get("discriminator_dense", ())]
    for i, pair in enumerate(pairwise(sizes)):
        D[f"dense_{i}"] = dense(*pair)
    D["output"] = dense(sizes[-1], 1)
    return G, D


def create_optimizer(config, layers, rate, steps):
    """Adam or SGD at rate decay^iteration, with ``steps`` an iteration."""
    floor = config["min_learning_rate"]
    rule: Any = optax.identity()
    if config["optimizer"] == "adam":
        rule = optax.scale_by_adam(config["b1"], config["b2"])
    elif config["momentum"]:
        rule = optax.trace(config["momentum"])
    schedule = optax.scale_by_schedule(
        lambda n: (
            -jnp.maximum(
                rate * jnp.exp(log(config["decay"]) * (n // steps)), floor
            )
        )
    )
    return nnx.Optimizer(layers, optax.chain(rule, schedule), wrt=nnx.Param)


def generate(config, G, z):
    """G(z)."""
    h = z
    if config["network"] == "dcgan":
        side = config["sample_shape"][0] // 2 ** len(config["generator_hidden"])
        h = relu(G.norm_0(G.project(h).reshape(len(z), side, side, -1)))
        for i in range(len(config["generator_hidden"]) - 1):
            h = relu(G[f"norm_{i + 1}"](G[f"upsample_{i}"](h)))
    for i in range(len(G) - 1 if config["network"] == "mlp" else 0):
        h = relu(G[f"hidden_{i}"](h))
    x = OUTPUTS[config["output"]](G.output(h))
    return x.reshape(len(z), *config["sample_shape"])


def discriminate(config, D, x, masks):
    """The logits of D(x)."""

    def leaky_relu(h):  # that of jax.nn has another derivative at 0
        return jnp.where(h > 0, h, config["slope"] * h)

    if config["network"] == "dcgan":
        h = leaky_relu(D.input(x))
        for i in range(len(config["discriminator_hidden"]) - 1):
            h = leaky_relu(D[f"norm_{i}"](D[f"downsample_{i}"](h)))
        h = h.reshape(len(x), -1)
        for i in range(len(config.get("discriminator_dense", ()))):
            h = leaky_relu(D[f"dense_{i}"](h))
        return D.output(h)[:, 0]
    h = x.reshape(len(x), -1) * masks.get("input", 1)
    for i in range(len(D) - 1):
        h = leaky_relu(D[f"hidden_{i}"](h)) * masks.get(f"hidden_{i}", 1)
    return D.output(h)[:, 0]


def iterate(config, G, D, of_G, of_D, batch):
    """Algorithm 1: k steps of D and one of G, in place; their metrics."""
    discriminator_loss, generator_loss, probability = LOSSES[config["loss"]]

    def masks(prefix, i=...):
        names = [name for name in batch if name.startswith(prefix)]
        return {name.removeprefix(prefix): batch[name][i] for name in names}

    def loss_of_d(D, x, fake, i):
        real = discriminate(config, D, x, masks("discriminator/real_masks/", i))
        fake = discriminate(
            config, D, fake, masks("discriminator/fake_masks/", i)
        )
        loss = discriminator_loss(real, fake)
        return loss, (loss, probability(real).mean(), probability(fake).mean())

    def loss_of_g(G, D, z):
        fake = generate(config, G, z)
        logits = discriminate(config, D, fake, masks("generator/masks/"))
        return generator_loss(logits)

    for i in range(config["k"]):
        x, z = batch["discriminator/x"][i], batch["discriminator/z"][i]
        fake = generate(config, G, z)
        step = nnx.grad(partial(loss_of_d, i=i), has_aux=True)
        gradients, (loss, real_probability, fake_probability) = step(D, x, fake)
        of_D.update(D, gradients)
    step = nnx.value_and_grad(loss_of_g)
    loss_of_generator, gradients = step(G, D, batch["generator/z"])
    of_G.update(G, gradients)
    return {
        "discriminator_loss": loss,
        "real_probability": real_probability,
        "fake_probability": fake_probability,
        "generator_loss": loss_of_generator,
    }
