"""A side of a pair from a pure training step in JAX."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.tree_util import keystr, tree_flatten_with_path
from numpy.typing import NDArray

from experiment.errors import InputError
from parity_tests.side import (
    KINDS,
    Event,
    Key,
    Layout,
    State,
    Taken,
    layout_of,
    map_numpy,
    neutral_path,
    unique,
)

# Optax's names of what a rule keeps, and the usual ones.
_SLOTS = {"mu": "m", "nu": "v", "nu_max": "max_v", "trace": "momentum"}
_COUNTS = ("count", "step")


class GradientsState(NamedTuple):
    """An optimizer's state, and the gradients that it was last given."""

    inner: Any
    gradients: Any


def keep_gradients(
    rule: optax.GradientTransformation,
) -> optax.GradientTransformation:
    """The same rule; its state keeps the gradients, where a side finds them.

    Args:
        rule: the optimizer of a step, before ``init`` is called.
    """

    def init(params: Any) -> GradientsState:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return GradientsState(rule.init(params), zeros)

    def update(
        gradients: Any, state: GradientsState, params: Any = None
    ) -> tuple[Any, GradientsState]:
        updates, inner = rule.update(gradients, state.inner, params)
        return updates, GradientsState(inner, gradients)

    return optax.GradientTransformation(init, update)


Parts = Callable[[Any], Mapping[str, Mapping[str, Any]]]


def jax_side(
    step: Callable[[Any, Any], tuple[Any, Mapping[str, Any]]],
    state: Any,
    parts: Parts,
    layouts: Mapping[str, Layout] | None = None,
    ignore: Callable[[Any], Any] = lambda state: (),
) -> "JaxSide":
    """The side of a pure training step.

    Names are the paths of the pytrees, with ``hidden_0`` as ``hidden/0``;
    optimizer states are found by their type.

    Args:
        step: of a state and a batch, whose NumPy arrays it gets as JAX's;
            gives the next state and its metrics by name.
        state: before the first step: any pytree.
        parts: what of a state is of each network, by the name of its part:
            sub-trees by ``weights``, ``moments`` (Optax's state) and
            ``statistics``. It may only pick, not compute.
        layouts: of arrays that are not in the framework-neutral layout, by a
            regular expression that their part and path match as a whole.
        ignore: what of a state is not compared, such as ``lambda s:
            s.step``.

    Raises:
        InputError: an array of the state is in no part, or a part names what
            is not of a known kind.

    Example:
        A linear model with Adam::

            side = jax_side(
                step,
                TrainState.create(apply_fn=..., params=..., tx=...),
                lambda s: {"model": {"weights": s.params,
                                     "moments": s.opt_state}},
                ignore=lambda s: s.step,
            )
    """
    return JaxSide(step, state, parts, layouts or {}, ignore)


class JaxSide:
    """What ``jax_side`` makes."""

    def __init__(
        self,
        step: Callable[[Any, Any], tuple[Any, Mapping[str, Any]]],
        state: Any,
        parts: Parts,
        layouts: Mapping[str, Layout],
        ignore: Callable[[Any], Any],
    ):
        """As ``jax_side``."""
        self._step, self._layouts = step, layouts
        # Copies: a step may donate what it is given.
        self._state = jax.tree.map(jnp.array, state)
        leaves, tree = tree_flatten_with_path(state)
        # The same state of the leaves' numbers: a part picks them from it.
        numbered = jax.tree.unflatten(tree, range(len(leaves)))
        found: list[tuple[Key, int]] = []
        self._gradients: dict[str, dict[str, int]] = {}
        for part, picked in parts(numbered).items():
            for kind, subtree in picked.items():
                if kind not in KINDS:
                    raise InputError(
                        f"part {part!r} has {kind!r}; known: {', '.join(KINDS)}"
                    )
                if kind != "moments":
                    found += [
                        (Key(kind, part, path), number)
                        for path, number in paths_of(subtree)
                    ]
                    continue
                kept, gradients = _of_optimizer(subtree)
                if gradients:
                    self._gradients[part] = gradients
                found += [
                    (Key(kind, part, path, slot), number)
                    for path, slot, number in kept
                ]
        self._numbers = _joined_counts(found)
        seen = {
            number for numbers in self._numbers.values() for number in numbers
        }
        for gradients in self._gradients.values():
            seen.update(gradients.values())
        seen.update(jax.tree.leaves(ignore(numbered)))
        for number, (path, _) in enumerate(leaves):
            if number not in seen:
                raise InputError(
                    f"state{keystr(path)} is in no part of the JAX side: give "
                    "it to one, or name it in ignore"
                )

    def step(self, batch: Any) -> Taken:
        """One step; its metrics, and the gradients that a rule kept."""
        batch = map_numpy(jnp.array, batch)
        self._state, metrics = self._step(self._state, batch)
        leaves = jax.tree.leaves(self._state)
        events = tuple(
            Event(
                part,
                {
                    Key("weights", part, path): self._neutral(
                        f"{part}/{path}", leaves[number]
                    )
                    for path, number in numbers.items()
                },
            )
            for part, numbers in self._gradients.items()
        )
        return Taken({k: np.array(v) for k, v in metrics.items()}, events)

    def read(self) -> State:
        """The arrays of all parts."""
        leaves = jax.tree.leaves(self._state)
        state = {}
        for key, numbers in self._numbers.items():
            first, *others = (np.array(leaves[number]) for number in numbers)
            for other in others:
                if other != first:
                    raise InputError(
                        f"{key} is {first} in one rule and {other} in another"
                    )
            state[key] = self._neutral(f"{key.part}/{key.path}", first)
        return state

    def write(self, state: Mapping[Key, NDArray]) -> None:
        """Puts arrays in place of those of all parts."""
        leaves, tree = jax.tree.flatten(self._state)
        for key, numbers in self._numbers.items():
            layout = layout_of(f"{key.part}/{key.path}", self._layouts)
            for number in numbers:
                old = leaves[number]
                new = layout.from_neutral(state[key])
                leaves[number] = jnp.array(new, old.dtype)
        self._state = jax.tree.unflatten(tree, leaves)

    def _neutral(self, name: str, array: Any) -> NDArray:
        return np.array(
            layout_of(name, self._layouts).to_neutral(np.array(array))
        )


def paths_of(tree: Any) -> Iterator[tuple[str, Any]]:
    """The leaves of a tree by framework-neutral path."""
    for path, leaf in tree_flatten_with_path(tree)[0]:
        yield _neutral_path(path), leaf


def _neutral_path(path: tuple[Any, ...]) -> str:
    """``params['hidden_0'].kernel`` as ``params/hidden/0/kernel``."""
    return neutral_path(keystr(path, simple=True, separator="/"))


def _of_optimizer(
    tree: Any,
) -> tuple[list[tuple[str, str, int]], dict[str, int]]:
    """Path, slot and number of what a rule keeps; numbers of gradients.

    An Optax state is named tuples within tuples: the name of the innermost
    field that holds a leaf is its slot, what follows is the weight's path.
    """
    kept: list[tuple[str, str, int]] = []
    gradients: dict[str, int] = {}

    def walk(node: Any) -> None:
        if isinstance(node, GradientsState):
            gradients.update(paths_of(node.gradients))
            walk(node.inner)
        elif hasattr(node, "_fields"):
            for field in node._fields:
                inside = getattr(node, field)
                if _holds_states(inside):
                    walk(inside)
                elif field in _COUNTS:
                    kept.extend(
                        ("", "step", n) for n in jax.tree.leaves(inside)
                    )
                else:
                    slot = _SLOTS.get(field, field)
                    kept.extend((p, slot, n) for p, n in paths_of(inside))
        elif isinstance(node, tuple | list):
            for inside in node:
                walk(inside)
        elif isinstance(node, Mapping):
            for inside in node.values():
                walk(inside)
        elif jax.tree.leaves(node):
            kept.extend((p, "state", n) for p, n in paths_of(node))

    walk(tree)
    return kept, gradients


def _holds_states(node: Any) -> bool:
    """Whether a field holds further rules' states, and not arrays."""
    if hasattr(node, "_fields"):
        return True
    if isinstance(node, tuple | list):
        return any(map(_holds_states, node))
    if isinstance(node, Mapping):
        return any(map(_holds_states, node.values()))
    return False


def _joined_counts(found: list[tuple[Key, int]]) -> dict[Key, list[int]]:
    """The numbers of the leaves of each key: several rules count steps."""
    counts: dict[Key, list[int]] = {}
    others = []
    for key, number in found:
        if key.slot == "step" and not key.path:
            counts.setdefault(key, []).append(number)
        else:
            others.append((key, number))
    joined = {k: [n] for k, n in unique(others, "the JAX side").items()}
    return joined | counts
