"""The forward and backward pass of a PyTorch module or function."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from experiment.errors import InputError
from parity_tests.arrays_torch import entries_of
from parity_tests.forward_pass import (
    Arrays,
    Pass,
    call,
    cotangents_of,
    filled,
    key_of_activation,
)
from parity_tests.side import (
    AS_IT_IS,
    Key,
    Layout,
    State,
    layout_of,
    leaves_of,
    map_numpy,
    neutral_path,
    unique,
)
from parity_tests.side_torch import to_array, to_tensor

_CHANNELS_FIRST = Layout(
    lambda array: np.moveaxis(array, 1, -1) if array.ndim > 2 else array,
    lambda array: np.moveaxis(array, -1, 1) if array.ndim > 2 else array,
)


class TorchForward:
    """A module, which stays as it is, or a function without weights."""

    def __init__(
        self, function: Callable[..., Any], layouts: Mapping[str, Layout]
    ):
        """Finds the weights and buffers of a module."""
        self._function, self._layouts = function, layouts
        modules = {}
        if isinstance(function, nn.Module):
            modules["model"] = function
        self._entries = unique(entries_of(modules, layouts), "the module")

    def read(self) -> State:
        """Weights and buffers."""
        return {
            key: np.array(entry.layout.to_neutral(to_array(entry.tensor)))
            for key, entry in self._entries.items()
        }

    def run(self, values: State, inputs: Any) -> Pass:
        """Output, activations and gradients.

        Args:
            values: weights, buffers, and the inputs that are differentiated.
            inputs: in the form that the function takes.
        """
        before = self.read()
        self._write(values)
        try:
            return self._run(values, inputs)
        finally:
            self._write(before)

    @torch.no_grad()
    def _write(self, values: State) -> None:
        for key, entry in self._entries.items():
            entry.tensor.copy_(
                to_tensor(entry.layout.from_neutral(values[key]))
            )

    def _run(self, values: State, inputs: Any) -> Pass:
        devices = (entry.tensor.device for entry in self._entries.values())
        device = next(devices, torch.device("cpu"))
        given = {
            key: to_tensor(self._layout(key).from_neutral(array))
            .to(device)
            .requires_grad_()
            for key, array in values.items()
            if key.part == "input"
        }
        constants = map_numpy(lambda array: to_tensor(array).to(device), inputs)
        with self._recording() as activations:
            output = call(self._function, filled(constants, given))
        outputs = {
            Key("output", "output", neutral_path(path)): tensor
            for path, tensor in leaves_of(output)
            if tensor is not None
        }
        for key, tensor in outputs.items():
            if not isinstance(tensor, Tensor):
                raise InputError(
                    f"{key} of the PyTorch function is a "
                    f"{type(tensor).__name__}: give tensors in dicts, lists "
                    "or tuples"
                )
        given |= {
            key: entry.tensor
            for key, entry in self._entries.items()
            if key.kind == "weights" and entry.tensor.requires_grad
        }
        arrays = {key: self._neutral(key, of) for key, of in outputs.items()}
        gradients = self._pull_back(outputs, given)
        return Pass(activations, arrays, gradients)

    def _pull_back(
        self, outputs: dict[Key, Tensor], given: dict[Key, Tensor]
    ) -> Arrays:
        floats = {k: v for k, v in outputs.items() if v.is_floating_point()}
        cotangents = cotangents_of(
            {key: self._neutral(key, of) for key, of in floats.items()}
        )
        # Of these alone PyTorch knows where they come from.
        pulled = {k: v for k, v in floats.items() if v.requires_grad}
        found: tuple[Tensor | None, ...] = (None,) * len(given)
        if pulled and given:
            found = torch.autograd.grad(
                list(pulled.values()),
                list(given.values()),
                [
                    to_tensor(
                        self._layout(key).from_neutral(cotangents[key])
                    ).to(tensor)
                    for key, tensor in pulled.items()
                ],
                allow_unused=True,
            )
        return {
            key._replace(kind="gradient"): self._neutral(
                key, torch.zeros_like(tensor) if gradient is None else gradient
            )
            for (key, tensor), gradient in zip(
                given.items(), found, strict=True
            )
        }

    @contextmanager
    def _recording(self) -> Iterator[Arrays]:
        """The output of every layer, in the order of the calls."""
        found: Arrays = {}
        layers = []
        if isinstance(self._function, nn.Module):
            layers = [(n, m) for n, m in self._function.named_modules() if n]

        def record(path: str) -> Callable[..., None]:
            def note(layer: nn.Module, _: Any, output: Any) -> None:
                is_image = isinstance(layer, _ConvNd | _BatchNorm)
                layout = _CHANNELS_FIRST if is_image else AS_IT_IS
                for name, tensor in leaves_of(output):
                    if isinstance(tensor, Tensor):
                        whole = f"{path}/{name}".rstrip("/")
                        key = key_of_activation(whole, found)
                        found[key] = self._neutral(key, tensor, layout)

            return note

        handles = [
            layer.register_forward_hook(record(name.replace(".", "/")))
            for name, layer in layers
        ]
        try:
            yield found
        finally:
            for handle in handles:
                handle.remove()

    def _layout(self, key: Key, default: Layout = AS_IT_IS) -> Layout:
        if key in self._entries:
            return self._entries[key].layout
        return layout_of(str(key), self._layouts, default)

    def _neutral(
        self, key: Key, tensor: Tensor, default: Layout = AS_IT_IS
    ) -> NDArray:
        layout = self._layout(key, default)
        return np.array(layout.to_neutral(to_array(tensor)))
