"""One side of a pair: any implementation of a training step, as arrays.

``check_pair`` needs three methods of an implementation: ``step``, ``read`` and
``write``. ``torch_side``, ``jax_side`` and ``nnx_side`` make them of a user's
own step; anything else, NumPy included, may write them out.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from experiment.errors import InputError

KINDS = ("weights", "moments", "statistics")
# PyTorch's names of a norm's buffers, and Flax's; a count that no output
# depends on.
TORCH_STATISTICS = {"running_mean": "mean", "running_var": "var"}
TORCH_COUNT = "num_batches_tracked"
# Flax's collections, and their kinds.
_COLLECTIONS = {"params": "weights", "batch_stats": "statistics"}


class Key(NamedTuple):
    """The name of an array of a training state.

    Attributes:
        kind: one of ``KINDS``: ``weights`` are trained, ``moments`` are the
            optimizer's, ``statistics`` are moved by a forward pass.
        part: the network that it is of, such as ``generator``.
        path: layer and array, such as ``hidden/0/kernel``; empty where an
            array is of the whole part, such as an optimizer's step.
        slot: of ``moments``: ``m``, ``v``, ``momentum``, ``step``, ...

    Example:
        >>> print(Key("moments", "generator", "hidden/0/kernel", "v"))
        generator/hidden/0/kernel (v)
    """

    kind: str
    part: str
    path: str
    slot: str = ""

    def __str__(self) -> str:
        """The name without its kind, which messages give themselves."""
        name = f"{self.part}/{self.path}" if self.path else self.part
        return f"{name} ({self.slot})" if self.slot else name


State = dict[Key, NDArray]
Metrics = Mapping[str, ArrayLike]


class Event(NamedTuple):
    """One update within a step.

    Attributes:
        part: whose optimizer moved its weights.
        gradients: that the optimizer was given, by the key of the weight.
    """

    part: str
    gradients: Mapping[Key, NDArray]


class Taken(NamedTuple):
    """What a step of a side gave.

    Attributes:
        metrics: numbers by name, such as a loss.
        events: its updates in their order; empty where they are not seen.
    """

    metrics: Mapping[str, NDArray]
    events: tuple[Event, ...] = ()


class Side(Protocol):
    """A training step and its state."""

    def step(self, batch: Any) -> Metrics | Taken:
        """Takes one training step; gives its metrics.

        Args:
            batch: an element of ``check_pair``'s batches, a copy that is this
                side's alone.
        """

    def read(self) -> State:
        """The state now, in copies that later steps leave alone."""

    def write(self, state: Mapping[Key, NDArray]) -> None:
        """Puts a state in place: what ``read`` gave, or like it."""


Build = Callable[[], Side]


class Layout(NamedTuple):
    """How an array comes into the framework-neutral layout, and back.

    The framework-neutral layouts are those of JAX: a dense kernel is [in, out],
    that of a convolution [*space, in, out], images have their channels last.

    Attributes:
        to_neutral: from the framework's array.
        from_neutral: its inverse.
    """

    to_neutral: Callable[[NDArray], NDArray]
    from_neutral: Callable[[NDArray], NDArray]


def transposed(*axes: int) -> Layout:
    """The layout of an array whose axes are in another order.

    Args:
        *axes: of the framework's array, in their framework-neutral order.

    Example:
        >>> of_convolution = transposed(2, 3, 1, 0)  # PyTorch's
        >>> of_convolution.to_neutral(np.zeros((64, 3, 5, 5))).shape
        (5, 5, 3, 64)
    """
    back = np.argsort(axes)
    return Layout(
        lambda array: array.transpose(axes),
        lambda array: array.transpose(back),
    )


def flattened(channels: int, *space: int) -> Layout:
    """The layout of PyTorch's dense kernel after a flattened image.

    PyTorch flattens [channels, *space], JAX [*space, channels]: so the rows
    of the framework-neutral kernel, [in, out], are in another order.

    Args:
        channels: of the image.
        *space: its height and width.

    Example:
        >>> layout = flattened(2, 1, 3)
        >>> layout.to_neutral(np.arange(6.0)[None])[:, 0]
        array([0., 3., 1., 4., 2., 5.])
    """
    first, last = (channels, *space), (*space, channels)

    def to_neutral(array: NDArray) -> NDArray:
        rows = np.moveaxis(array.T.reshape(*first, -1), 0, len(space))
        return rows.reshape(array.shape[::-1])

    def from_neutral(array: NDArray) -> NDArray:
        rows = np.moveaxis(array.reshape(*last, -1), len(space), 0)
        return rows.reshape(array.shape).T

    return Layout(to_neutral, from_neutral)


def neutral_path(path: str) -> str:
    """A path whose numbered layers are entries of a list.

    Example:
        >>> neutral_path("hidden_0/kernel")
        'hidden/0/kernel'
    """
    return re.sub(r"_(\d+)(?=/|$)", r"/\1", path)


def key_of(path: str) -> Key:
    """The key of an array of a model in JAX, by its framework-neutral path.

    Example:
        >>> key_of("batch_stats/norm/var")
        Key(kind='statistics', part='model', path='norm/var', slot='')
    """
    collection, _, rest = path.partition("/")
    kind = _COLLECTIONS.get(collection)
    return Key(kind or "weights", "model", rest if kind else path)


AS_IT_IS = Layout(lambda array: array, lambda array: array)


def layout_of(
    name: str, layouts: Mapping[str, Layout], default: Layout = AS_IT_IS
) -> Layout:
    """The first layout whose regular expression matches a whole name."""
    for pattern, layout in layouts.items():
        if re.fullmatch(pattern, name):
            return layout
    return default


def map_batch(function: Callable[[Any], Any], batch: Any) -> Any:
    """Applies a function to the arrays of a batch.

    Goes through dicts, lists and tuples; everything else is an array.

    Example:
        >>> map_batch(len, {"x": [np.ones(2), np.ones(3)]})
        {'x': [2, 3]}
    """
    return map_named(lambda _, array: function(array), batch)


def map_numpy(function: Callable[[NDArray], Any], batch: Any) -> Any:
    """Applies a function to NumPy's arrays and numbers; the rest stays.

    Example:
        >>> map_numpy(len, {"x": np.ones(2), "training": True})
        {'x': 2, 'training': True}
    """

    def applied(leaf: Any) -> Any:
        is_numpy = isinstance(leaf, np.ndarray | np.generic)
        return function(leaf) if is_numpy else leaf

    return map_batch(applied, batch)


def map_named(
    function: Callable[[str, Any], Any], tree: Any, path: str = ""
) -> Any:
    """Applies a function to the path and the array of each leaf.

    Example:
        >>> map_named(lambda path, n: f"{path} {n}", {"x": [1, 2]})
        {'x': ['x/0 1', 'x/1 2']}
    """

    def inside(name: object, of: Any) -> Any:
        return map_named(function, of, f"{path}/{name}".lstrip("/"))

    if isinstance(tree, Mapping):
        return {name: inside(name, of) for name, of in tree.items()}
    if hasattr(tree, "_fields"):  # a named tuple takes its fields
        fields = zip(tree._fields, tree, strict=True)
        return type(tree)(*(inside(name, of) for name, of in fields))
    if isinstance(tree, list | tuple):
        return type(tree)(inside(i, of) for i, of in enumerate(tree))
    return function(path, tree)


def leaves_of(tree: Any) -> list[tuple[str, Any]]:
    """The leaves of dicts, lists and tuples, each with its path.

    Example:
        >>> leaves_of({"x": (1, 2), "y": 3})
        [('x/0', 1), ('x/1', 2), ('y', 3)]
    """
    leaves: list[tuple[str, Any]] = []
    map_named(lambda path, leaf: leaves.append((path, leaf)), tree)
    return leaves


def as_taken(given: Metrics | Taken) -> Taken:
    """What a step gave, with metrics that are NumPy arrays."""
    metrics, events = given if isinstance(given, Taken) else (given, ())
    return Taken({k: np.array(v) for k, v in metrics.items()}, events)


def unique(items: Iterable[tuple[Key, Any]], whose: str) -> dict[Key, Any]:
    """A dict of items whose keys must differ.

    Raises:
        InputError: two are the same.
    """
    found: dict[Key, Any] = {}
    for key, item in items:
        if key in found:
            raise InputError(
                f"{whose} has two arrays named {key} ({key.kind}): rename a "
                "layer of it"
            )
        found[key] = item
    return found
