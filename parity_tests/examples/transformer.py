"""No GAN: a small transformer in PyTorch, and the same in Flax NNX.

Next-token prediction; AdamW with warm-up and clipping of the gradient's norm.
Everything up to ``check`` is what a user has already.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from flax import nnx
from torch import nn
from torch.nn.functional import cross_entropy

from parity_tests import check_pair, keep_gradients, nnx_side, torch_side

TOKENS, LENGTH, WIDTH, HEADS = 11, 6, 8, 2
RATE, WARM_UP, DECAY, LARGEST_NORM = 1e-3, 5, 0.01, 0.5


class Block(nn.Module):
    """In PyTorch: attention and a hidden layer, normalised before each."""

    def __init__(self):
        """Builds the layers."""
        super().__init__()
        self.norm = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.query, self.key = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.value, self.mix = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.hidden = nn.Linear(WIDTH, 4 * WIDTH)
        self.output = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, h):
        """Adds to h what the block computes."""
        normal = self.norm[0](h)
        q, k, v = (
            layer(normal).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        seen = nn.functional.scaled_dot_product_attention(
            q, k, v, is_causal=True
        )
        h = h + self.mix(seen.transpose(1, 2).flatten(2))
        inner = nn.functional.gelu(self.hidden(self.norm[1](h)))
        return h + self.output(inner)


class Transformer(nn.Module):
    """In PyTorch: embeddings, two blocks, logits."""

    def __init__(self):
        """Builds the layers."""
        super().__init__()
        self.token = nn.Embedding(TOKENS, WIDTH)
        self.position = nn.Embedding(LENGTH, WIDTH)
        self.block = nn.ModuleList(Block() for _ in range(2))
        self.logits = nn.Linear(WIDTH, TOKENS)

    def forward(self, tokens):
        """The logits of the token after each."""
        h = self.token(tokens) + self.position.weight
        for block in self.block:
            h = block(h)
        return self.logits(h)


def torch_training():
    """The step of a batch, the network and its optimizer, in PyTorch."""
    torch.manual_seed(0)
    model = Transformer().double()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=RATE, weight_decay=DECAY
    )
    warm_up = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1, (step + 1) / WARM_UP)
    )

    def step(batch):
        logits = model(batch["tokens"][:, :-1])
        loss = cross_entropy(
            logits.flatten(0, 1), batch["tokens"][:, 1:].flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), LARGEST_NORM)
        optimizer.step()
        warm_up.step()
        return {"loss": loss}

    return step, {"model": model}, {"model": optimizer}


def attention(q, k, v):
    """Causal attention over [m, length, heads, width] in JAX.

    ``jax.nn.dot_product_attention`` takes its softmax in float32, float64
    inputs or not.
    """
    scores = jnp.einsum("mihw,mjhw->mhij", q, k) / np.sqrt(q.shape[-1])
    seen = np.tril(np.ones(scores.shape[-2:], bool))
    shares = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf))
    return jnp.einsum("mhij,mjhw->mihw", shares, v)


class NNXBlock(nnx.Module):
    """In Flax NNX."""

    def __init__(self, rngs):
        """Builds the layers."""
        options: Any = {"param_dtype": jnp.float64, "rngs": rngs}
        self.norm_0 = nnx.LayerNorm(WIDTH, epsilon=1e-5, **options)
        self.norm_1 = nnx.LayerNorm(WIDTH, epsilon=1e-5, **options)
        self.query = nnx.Linear(WIDTH, WIDTH, **options)
        self.key = nnx.Linear(WIDTH, WIDTH, **options)
        self.value = nnx.Linear(WIDTH, WIDTH, **options)
        self.mix = nnx.Linear(WIDTH, WIDTH, **options)
        self.hidden = nnx.Linear(WIDTH, 4 * WIDTH, **options)
        self.output = nnx.Linear(4 * WIDTH, WIDTH, **options)

    def __call__(self, h):
        """Adds to h what the block computes."""
        normal = self.norm_0(h)
        q, k, v = (
            layer(normal).reshape(*h.shape[:2], HEADS, -1)
            for layer in (self.query, self.key, self.value)
        )
        seen = attention(q, k, v)
        h = h + self.mix(seen.reshape(h.shape))
        inner = jax.nn.gelu(self.hidden(self.norm_1(h)), approximate=False)
        return h + self.output(inner)


class NNXTransformer(nnx.Module):
    """In Flax NNX."""

    def __init__(self, rngs):
        """Builds the layers."""
        options: Any = {"param_dtype": jnp.float64, "rngs": rngs}
        self.token = nnx.Embed(TOKENS, WIDTH, **options)
        self.position = nnx.Embed(LENGTH, WIDTH, **options)
        self.block_0, self.block_1 = NNXBlock(rngs), NNXBlock(rngs)
        self.logits = nnx.Linear(WIDTH, TOKENS, **options)

    def __call__(self, tokens):
        """The logits of the token after each."""
        h = self.token(tokens) + self.position.embedding[...]
        return self.logits(self.block_1(self.block_0(h)))


def clip(largest_norm):
    """Clipping as PyTorch's, which adds 1e-6 to the norm; Optax's does not."""

    def update(grads, state, params=None):
        share = largest_norm / (optax.global_norm(grads) + 1e-6)
        return jax.tree.map(lambda g: g * jnp.minimum(1, share), grads), state

    return optax.GradientTransformation(lambda params: (), update)


def rule(keep=lambda rule: rule):
    """The optimizer in Optax.

    Args:
        keep: what is done to AdamW, which gets clipped gradients as
            PyTorch's does.
    """

    def rate(step):
        # optax.linear_schedule would compute in float32.
        return RATE * jnp.minimum(1, (step + 1.0) / WARM_UP)

    return optax.chain(
        clip(LARGEST_NORM), keep(optax.adamw(rate, weight_decay=DECAY))
    )


def nnx_training(keep=lambda rule: rule):
    """The step of a batch, the network and its optimizer, in Flax NNX."""
    model = NNXTransformer(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, rule(keep), wrt=nnx.Param)

    @nnx.jit
    def update(model, optimizer, tokens):
        def loss_fn(model):
            logits = model(tokens[:, :-1])
            losses = optax.softmax_cross_entropy_with_integer_labels(
                logits, tokens[:, 1:]
            )
            return losses.mean()

        loss, grads = nnx.value_and_grad(loss_fn)(model)
        optimizer.update(model, grads)
        return loss

    def step(batch):
        return {"loss": update(model, optimizer, batch["tokens"])}

    return step, {"model": model}, {"model": optimizer}


def batches(count, m=4):
    """Random tokens."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield {"tokens": rng.integers(TOKENS, size=(m, LENGTH + 1))}


def check(count=10):
    """Checks the pair: all that a user adds to what stands above."""
    return check_pair(
        lambda: torch_side(*torch_training()),
        lambda: nnx_side(*nnx_training(keep_gradients)),
        batches(count),
    )
