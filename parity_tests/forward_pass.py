"""What a forward and a backward pass give, in either framework."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiment.errors import InputError
from parity_tests.measure import is_float
from parity_tests.side import Key, State, leaves_of, map_named

Arrays = dict[Key, NDArray]


class Pass(NamedTuple):
    """The arrays of a pass, in framework-neutral layouts.

    Attributes:
        activations: what each layer gave, in the order of the calls.
        outputs: of the whole.
        gradients: the vector-Jacobian product of ``cotangents_of`` the
            outputs, of every weight and floating-point input.
    """

    activations: Arrays
    outputs: Arrays
    gradients: Arrays


def key_of_activation(path: str, known: Mapping[Key, Any]) -> Key:
    """The key of the next output of a layer, which may have several.

    Example:
        >>> print(key_of_activation("hidden/0", {}))
        model/hidden/0
    """
    key = Key("activation", "model", path)
    calls = 1 + sum(k.path.split(" ")[0] == path for k in known)
    return key if calls == 1 else key._replace(path=f"{path} (call {calls})")


def arrays_of(inputs: Any) -> State:
    """The arrays of inputs that are differentiated, as weights are.

    Raises:
        InputError: an array is not NumPy's.

    Example:
        >>> list(arrays_of(({"x": np.ones(2)}, np.arange(3), True)))
        [Key(kind='weights', part='input', path='0/x', slot='')]
    """
    found = {}
    for path, leaf in leaves_of(inputs):
        key = Key("weights", "input", path)
        if hasattr(leaf, "shape") and not isinstance(
            leaf, np.ndarray | np.generic
        ):
            raise InputError(
                f"{key} is a {type(leaf).__name__}: give NumPy arrays, which "
                "both frameworks take"
            )
        if isinstance(leaf, np.ndarray) and is_float(leaf):
            found[key] = leaf
    return found


def filled(inputs: Any, values: Mapping[Key, Any]) -> Any:
    """The inputs with other arrays for those of ``arrays_of``."""
    return map_named(
        lambda path, leaf: values.get(Key("weights", "input", path), leaf),
        inputs,
    )


def call(function: Any, inputs: Any, *first: Any) -> Any:
    """Calls a function with inputs by name or in their order."""
    if isinstance(inputs, Mapping):
        return function(*first, **inputs)
    return function(*first, *inputs)


def cotangents_of(outputs: Mapping[Key, Any]) -> Arrays:
    """Normal numbers in the shapes of outputs, always the same."""
    rng = np.random.default_rng(1)
    return {key: rng.normal(size=outputs[key].shape) for key in sorted(outputs)}
