"""Slips of a port in NumPy: an array of the reference, and the port's."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray


class Pair(NamedTuple):
    """What ``explain`` is given: the reference's array, the port's, and more.

    Attributes:
        reference: the array that is right.
        port: the array that differs.
        before: that of the reference before a step.
        moments: of Adam, after it.
    """

    reference: NDArray
    port: NDArray
    before: NDArray | None = None
    moments: Mapping[str, NDArray] | None = None


def changed(
    *shape: int, by: Callable[[NDArray], NDArray]
) -> Callable[[Generator], Pair]:
    """An array, and what a port makes of it."""

    def make(rng: Generator) -> Pair:
        array = rng.normal(size=shape)
        return Pair(array, by(array))

    return make


def flattened(kernel: NDArray) -> NDArray:
    """Rows of an image of [channels, height, width]: channels first to last."""
    return kernel.reshape(3, 4, 4, -1).transpose(1, 2, 0, 3).reshape(48, -1)


def swapped_queries(kernel: NDArray) -> NDArray:
    """Of attention, [inputs, 3 units]: queries and keys change places."""
    queries, keys, values = np.split(kernel, 3, 1)
    return np.concatenate([keys, queries, values], 1)


def moved_statistics(**port: Any) -> Callable[[Generator], Pair]:
    """A running variance after a forward pass of 16 examples."""

    def moved(
        before: NDArray, x: NDArray, kept: float = 0.9, unbiased: bool = True
    ) -> NDArray:
        return kept * before + (1 - kept) * x.var(0, ddof=unbiased)

    def make(rng: Generator) -> Pair:
        before, x = rng.uniform(0.5, 2, size=6), rng.normal(size=(16, 6))
        right = moved(before, x)
        return Pair(right, moved(before, x, **port), before)

    return make


def unmoved(rng: Generator) -> Pair:
    """A running mean that is the one before the step."""
    before, after = rng.normal(size=(2, 6))
    return Pair(after, before, before)


def never_copied(rng: Generator) -> Pair:
    """A running variance, and that of a new model."""
    variance = rng.uniform(0.5, 2, size=6)
    return Pair(variance, np.ones(6))


class _State(NamedTuple):
    w: NDArray
    m: NDArray
    v: NDArray


def _adamw(
    state: _State,
    g: NDArray,
    t: int = 3,
    rate: float = 1e-3,
    b1: float = 0.9,
    b2: float = 0.999,
    epsilon: float = 1e-8,
    decay: float = 0.0,
    inside: bool = False,
    corrected: bool = True,
) -> _State:
    m = b1 * state.m + (1 - b1) * g
    v = b2 * state.v + (1 - b2) * g**2
    of_m, of_v = (1 - b1**t, 1 - b2**t) if corrected else (1, 1)
    root = (
        np.sqrt(v / of_v + epsilon) if inside else np.sqrt(v / of_v) + epsilon
    )
    moved = rate * m / of_m / root + rate * decay * state.w
    return _State(state.w - moved, m, v)


def adam(slot: str, **port: Any) -> Callable[[Generator], Pair]:
    """Weights or a moment after the third step."""
    reference: dict[str, Any] = {"decay": 1e-2} if "decay" in port else {}

    def make(rng: Generator) -> Pair:
        w = rng.normal(size=(5, 4))
        m, g = 1e-3 * rng.normal(size=(2, *w.shape))
        v = 1e-9 * rng.uniform(1, 2, size=w.shape)
        before = _State(w, m, v)
        right = _adamw(before, g, **reference)
        wrong = _adamw(before, g, **port)
        moments = {"m": right.m, "v": right.v} if slot == "w" else None
        return Pair(
            getattr(right, slot),
            getattr(wrong, slot),
            getattr(before, slot),
            moments,
        )

    return make


def rounding_as_gradient(rng: Generator) -> Pair:
    """A bias before a batch norm: its gradients are rounding, in either."""
    w, of_reference, of_port = rng.normal(size=(3, 8))
    before = _State(w, np.zeros(8), np.zeros(8))
    right = _adamw(before, 1e-15 * of_reference, t=1)
    wrong = _adamw(before, 1e-15 * of_port, t=1)
    return Pair(right.w, wrong.w, w, {"m": right.m, "v": right.v})


def nesterov(rng: Generator) -> Pair:
    """The first step of momentum .9, and of Nesterov's."""
    w, g = rng.normal(size=(2, 5, 4))
    return Pair(w - 0.1 * g, w - 0.1 * (g + 0.9 * g), w)


def _normalized(epsilon: float) -> Callable[[NDArray], NDArray]:
    return lambda h: (h - h.mean(0)) / np.sqrt(h.var(0) + epsilon)


def other_epsilon(rng: Generator) -> Pair:
    """Batch norms whose epsilon differs."""
    h = rng.normal(size=(16, 6)) * np.arange(1, 7)
    return Pair(_normalized(1e-5)(h), _normalized(1e-3)(h))


def other_gelu(rng: Generator) -> Pair:
    """x Phi(x), and its approximation by tanh."""
    from scipy.special import erf

    h = rng.normal(size=(8, 6))
    inner = np.sqrt(2 / np.pi) * (h + 0.044715 * h**3)
    exact = h * 0.5 * (1 + erf(h / np.sqrt(2)))
    return Pair(exact, h * 0.5 * (1 + np.tanh(inner)))


def _unit(vector: NDArray) -> NDArray:
    return vector / np.linalg.norm(vector)


def power_iteration_v_first(rng: Generator) -> Pair:
    """The vector u after a step; PyTorch's order is u, then v."""
    W, u, v = rng.normal(size=(5, 4)), rng.normal(size=5), rng.normal(size=4)
    return Pair(_unit(W @ _unit(v)), _unit(W @ _unit(W.T @ u)), _unit(u))


def norm_is_constant(rng: Generator) -> Pair:
    """The gradient by W of f(W / u W v), with the norm and without."""
    W, g = rng.normal(size=(2, 5, 4))
    u = _unit(W @ rng.normal(size=4))
    v = _unit(W.T @ u)
    norm = u @ W @ v
    through = (g * W).sum() / norm**2 * np.outer(u, v)
    return Pair(g / norm - through, g / norm)


def dropped(h: NDArray) -> NDArray:
    """Every fifth number is 0."""
    kept = np.arange(h.size).reshape(h.shape) % 5 != 0
    return h * kept / 0.8


def other_slope(rng: Generator) -> Pair:
    """A leaky ReLU with a slope of .2, and one of .01."""
    h = rng.normal(size=(8, 6))
    return Pair(np.where(h > 0, h, 0.2 * h), np.where(h > 0, h, 0.01 * h))
