"""A conditional GAN in PyTorch, and the same in plain JAX.

Hinge loss, spectral normalisation, two learning rates, two updates of D for
one of G. Everything up to ``check`` is what a user has already.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from parity_tests import check_pair, jax_side, keep_gradients, torch_side

CLASSES, NOISE, PIXELS, UNITS = 4, 6, 12, 16
RATES = {"generator": 1e-3, "discriminator": 4e-3}


class Generator(nn.Module):
    """In PyTorch: one hidden layer on noise and class."""

    def __init__(self):
        """Builds the layers."""
        super().__init__()
        self.hidden = nn.Linear(NOISE + CLASSES, UNITS)
        self.output = nn.Linear(UNITS, PIXELS)

    def forward(self, z, y):
        """G(z, y)."""
        h = torch.relu(self.hidden(torch.cat([z, y], 1)))
        return torch.tanh(self.output(h))


class Discriminator(nn.Module):
    """In PyTorch: one hidden layer with spectral normalisation."""

    def __init__(self):
        """Builds the layers."""
        super().__init__()
        self.hidden = spectral_norm(nn.Linear(PIXELS + CLASSES, UNITS))
        self.output = nn.Linear(UNITS, 1)

    def forward(self, x, y):
        """The logit of D(x, y)."""
        h = torch.relu(self.hidden(torch.cat([x, y], 1)))
        return self.output(h)[:, 0]


def torch_training():
    """The step of a batch, the networks and their optimizers, in PyTorch."""
    torch.manual_seed(0)
    networks = {
        "generator": Generator().double(),
        "discriminator": Discriminator().double(),
    }
    G, D = networks.values()
    optimizers = {
        part: torch.optim.Adam(network.parameters(), RATES[part], (0.0, 0.9))
        for part, network in networks.items()
    }

    def step(batch):
        for x, y, z in zip(*(batch[name] for name in "xyz"), strict=True):
            real, fake = D(x, y), D(G(z, y).detach(), y)
            d_loss = torch.relu(1 - real).mean() + torch.relu(1 + fake).mean()
            optimizers["discriminator"].zero_grad()
            d_loss.backward()
            optimizers["discriminator"].step()
        g_loss = -D(G(batch["z"][-1], batch["y"][-1]), batch["y"][-1]).mean()
        optimizers["generator"].zero_grad()
        g_loss.backward()
        optimizers["generator"].step()
        return {"d_loss": d_loss, "g_loss": g_loss}

    return step, networks, optimizers


def _dense(layer, h):
    return h @ layer["kernel"] + layer["bias"]


def _unit(vector):
    return vector / jnp.maximum(jnp.linalg.norm(vector), 1e-12)


def generate(params, z, y):
    """G(z, y) in JAX."""
    h = jax.nn.relu(_dense(params["hidden"], jnp.concatenate([z, y], 1)))
    return jnp.tanh(_dense(params["output"], h))


def discriminate(params, spectrum, x, y):
    """The logit of D(x, y) in JAX, and the next step of power iteration."""
    kernel, bias = params["hidden"]["kernel"], params["hidden"]["bias"]
    W = jax.lax.stop_gradient(kernel.T)
    u = _unit(W @ spectrum["v"])
    v = _unit(W.T @ u)
    hidden = {"kernel": kernel / (u @ kernel.T @ v), "bias": bias}
    h = jax.nn.relu(_dense(hidden, jnp.concatenate([x, y], 1)))
    return _dense(params["output"], h)[:, 0], {"u": u, "v": v}


def jax_training(keep=lambda rule: rule):
    """The step of a state and a batch, and the first state, in JAX.

    Args:
        keep: what is done to an optimizer before it is used.
    """
    rules = {
        part: keep(optax.adam(rate, 0.0, 0.9)) for part, rate in RATES.items()
    }

    def descend(state, part, loss):
        (value, spectrum), grads = jax.value_and_grad(loss, has_aux=True)(
            state[part]["params"]
        )
        updates, opt_state = rules[part].update(grads, state[part]["opt"])
        params = optax.apply_updates(state[part]["params"], updates)
        moved = {**state[part], "params": params, "opt": opt_state}
        state = {**state, part: moved}
        D = {**state["discriminator"], "spectrum": spectrum}
        return {**state, "discriminator": D}, value

    @jax.jit
    def step(state, batch):
        for i in range(len(batch["x"])):
            x, y, z = (batch[name][i] for name in "xyz")
            fake = generate(state["generator"]["params"], z, y)
            s = state["discriminator"]["spectrum"]

            def d_loss_fn(params, s=s, x=x, y=y, fake=fake):
                real, s = discriminate(params, s, x, y)
                generated, s = discriminate(params, s, fake, y)
                loss = jax.nn.relu(1 - real).mean()
                return loss + jax.nn.relu(1 + generated).mean(), s

            state, d_loss = descend(state, "discriminator", d_loss_fn)

        def g_loss_fn(params):
            D = state["discriminator"]
            fake = generate(params, z, y)
            logits, s = discriminate(D["params"], D["spectrum"], fake, y)
            return -logits.mean(), s

        state, g_loss = descend(state, "generator", g_loss_fn)
        return state, {"d_loss": d_loss, "g_loss": g_loss}

    def layers(inputs, outputs):
        sizes = {"hidden": (inputs, UNITS), "output": (UNITS, outputs)}
        return {
            name: {"kernel": jnp.ones(size), "bias": jnp.ones(size[1])}
            for name, size in sizes.items()
        }

    params = {
        "generator": layers(NOISE + CLASSES, PIXELS),
        "discriminator": layers(PIXELS + CLASSES, 1),
    }
    state = {
        part: {"params": of, "opt": rules[part].init(of)}
        for part, of in params.items()
    }
    u, v = jnp.ones(UNITS), jnp.ones(PIXELS + CLASSES)
    state["discriminator"]["spectrum"] = {"u": u, "v": v}
    return step, state


def batches(count, k=2, m=8):
    """Random data, classes and noise for k updates of D each."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        classes = rng.integers(CLASSES, size=(k, m))
        yield {
            "x": rng.uniform(-1, 1, size=(k, m, PIXELS)),
            "y": np.eye(CLASSES)[classes],
            "z": rng.normal(size=(k, m, NOISE)),
        }


def check(count=10):
    """Checks the pair: all that a user adds to what stands above."""
    kinds = {"weights": "params", "moments": "opt", "statistics": "spectrum"}

    def parts(state):
        return {
            part: {kind: of[name] for kind, name in kinds.items() if name in of}
            for part, of in state.items()
        }

    power = "discriminator/hidden/parametrizations/weight/0"
    return check_pair(
        lambda: torch_side(*torch_training()),
        lambda: jax_side(*jax_training(keep_gradients), parts),
        batches(count),
        names={f"{power}/_{name}": f"discriminator/{name}" for name in "uv"},
        metrics={"d_loss": "discriminator", "g_loss": "generator"},
    )
