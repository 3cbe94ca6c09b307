"""The forward and backward pass of a function of JAX, or of an NNX module."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from parity_tests.check import require_alike
from parity_tests.forward_pass import (
    Pass,
    call,
    cotangents_of,
    filled,
    key_of_activation,
)
from parity_tests.measure import is_float
from parity_tests.runner import Names, renamed
from parity_tests.side import Key, State, key_of, map_numpy, neutral_path
from parity_tests.side_jax import paths_of


class JaxForward:
    """A function of weights, if there are any, and inputs."""

    def __init__(
        self,
        function: Any,
        weights: Any,
        names: Names,
        kinds: Mapping[tuple[str, ...], str],
    ):
        """Names the weights.

        Args:
            function: of weights and inputs; of inputs, if weights are None;
                or an NNX module.
            weights: the pytree that it takes first.
            names: beginnings of part and path, and what takes their place.
            kinds: of the reference's arrays by part, path and slot, which a
                pytree may not tell.
        """
        self._nnx: Any = None
        if _is_nnx(function):
            from parity_tests.forward_nnx import NnxFunction

            self._nnx = function = NnxFunction(function)
            weights = function.weights
        self._function, self._names = function, names
        self._has_weights = weights is not None
        self._weights, self._tree = jax.tree.flatten(weights)
        keys = [renamed(key_of(path), names) for path, _ in paths_of(weights)]
        self._keys = [
            key._replace(kind=kinds.get(key[1:], key.kind)) for key in keys
        ]

    def read(self) -> State:
        """The weights as they were given."""
        arrays = map(np.array, self._weights)
        return dict(zip(self._keys, arrays, strict=True))

    def run(self, values: State, inputs: Any, reference: Pass) -> Pass:
        """Output, activations and gradients.

        Args:
            values: weights, buffers, and the inputs that are differentiated.
            inputs: in the form that the function takes.
            reference: whose outputs this must have.

        Raises:
            InputError: an output is missing, or of another shape or type.
        """
        floats = {
            key: jnp.array(array)
            for key, array in values.items()
            if key.kind == "weights" and is_float(array)
        }
        constants = map_numpy(jnp.array, inputs)

        def forward(floats: Mapping[Key, Any]) -> tuple[Any, Any]:
            activations: dict[Key, Any] = {}
            with self._recording(activations):
                output = self._call({**values, **floats}, constants)
            outputs = {
                Key("output", "output", path): jnp.asarray(array)
                for path, array in paths_of(output)
            }
            pulled = {k: v for k, v in outputs.items() if _is_floating(v)}
            return pulled, (outputs, activations)

        shapes = jax.eval_shape(forward, floats)[1][0]
        require_alike(reference.outputs, shapes)

        pulled = {k: v for k, v in shapes.items() if _is_floating(v)}
        cotangents = {
            key: jnp.array(array, shapes[key].dtype)
            for key, array in cotangents_of(pulled).items()
        }

        @jax.jit
        def both(floats: Any, cotangents: Any) -> Any:
            _, pull_back, aux = jax.vjp(forward, floats, has_aux=True)
            (gradients,) = pull_back(cotangents)
            return aux, gradients

        (outputs, activations), gradients = jax.tree.map(
            np.array, both(floats, cotangents)
        )
        return Pass(
            activations,
            outputs,
            {k._replace(kind="gradient"): v for k, v in gradients.items()},
        )

    def _call(self, values: Mapping[Key, Any], constants: Any) -> Any:
        inputs = filled(constants, values)
        if not self._has_weights:
            return call(self._function, inputs)
        leaves = [jnp.asarray(values[key]) for key in self._keys]
        weights = jax.tree.unflatten(self._tree, leaves)
        return call(self._function, inputs, weights)

    @contextmanager
    def _recording(self, found: dict[Key, Any]) -> Iterator[None]:
        """Notes what each Flax module gives."""
        if not {"flax.linen", "flax.nnx"} & sys.modules.keys():
            yield
            return
        from flax import linen
        from flax.core.tracers import current_trace

        level = current_trace()

        def note(path: tuple[Any, ...], output: Any) -> None:
            # An array of an inner transformation, such as a scan's body, must
            # not leave it.
            if not path or current_trace() != level:
                return
            for name, array in paths_of(output):
                whole = "/".join([*map(str, path), *([name] if name else [])])
                key = Key("activation", "model", neutral_path(whole))
                key = renamed(key, self._names)
                found[key_of_activation(key.path, found)] = jnp.asarray(array)

        def of_linen(
            function: Any, args: Any, kwargs: Any, context: Any
        ) -> Any:
            output = function(*args, **kwargs)
            if context.method_name == "__call__":
                note(context.module.path, output)
            return output

        if self._nnx:
            self._nnx.note = note
        with linen.intercept_methods(of_linen):
            yield


def _is_nnx(function: Any) -> bool:
    """Whether it is a module of Flax NNX, which need not be loaded."""
    nnx = sys.modules.get("flax.nnx")
    return nnx is not None and isinstance(function, nnx.Module)


def _is_floating(array: Any) -> bool:
    return jnp.issubdtype(array.dtype, jnp.floating)
