"""A side of a pair from a training step in PyTorch."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from experiment.errors import InputError
from parity_tests.arrays_torch import entries_of
from parity_tests.side import (
    Event,
    Key,
    Layout,
    State,
    Taken,
    map_numpy,
    unique,
)

# PyTorch's names of what an optimizer keeps, and the usual ones.
_SLOTS = {
    "exp_avg": "m",
    "exp_avg_sq": "v",
    "max_exp_avg_sq": "max_v",
    "square_avg": "v",
    "momentum_buffer": "momentum",
}


def torch_side(
    step: Callable[[Any], Mapping[str, Any] | None],
    modules: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    layouts: Mapping[str, Layout] | None = None,
) -> "TorchSide":
    """The side of a training step that changes modules in place.

    Names and layouts follow from the types of the layers: the ``weight`` of a
    ``Linear`` called ``hidden.0`` is ``hidden/0/kernel``, [in, out]; that of
    a convolution is [*space, in, out], that of a transposed convolution
    [*space, out, in], as Flax's with ``transpose_kernel=True``; a norm has
    ``scale``, ``bias``, ``mean`` and ``var``. A parametrized weight, such as
    that of a spectral normalisation, has the name that it has without.
    Gradients are taken where an optimizer gets them.

    Args:
        step: of a batch, whose NumPy arrays it gets as tensors on the device
            of the modules; gives its metrics by name.
        modules: the networks by the name of their part.
        optimizers: by the name of the part that they train.
        layouts: of arrays whose type does not tell it, by a regular
            expression that their part and path match as a whole, such as
            ``"discriminator/output/kernel"``; of PyTorch's array as it is.

    Raises:
        InputError: an optimizer has a weight that no module has, or is of a
            class whose state before its first step is not known.
    """
    return TorchSide(step, modules, optimizers, layouts or {})


class TorchSide:
    """What ``torch_side`` makes."""

    def __init__(
        self,
        step: Callable[[Any], Mapping[str, Any] | None],
        modules: Mapping[str, nn.Module],
        optimizers: Mapping[str, torch.optim.Optimizer],
        layouts: Mapping[str, Layout],
    ):
        """As ``torch_side``."""
        self._step, self._optimizers = step, optimizers
        self._entries = unique(entries_of(modules, layouts), "the PyTorch side")
        weights = {
            key: entry
            for key, entry in self._entries.items()
            if key.kind == "weights"
        }
        self._keys = {entry.tensor: key for key, entry in weights.items()}
        self._events: list[Event] = []
        for name, optimizer in optimizers.items():
            for weight in _weights(optimizer):
                if weight not in self._keys:
                    raise InputError(
                        f"optimizer {name!r} has a weight of shape "
                        f"{list(weight.shape)} that no module has: name its "
                        "module"
                    )
            _slots(optimizer)
            optimizer.register_step_pre_hook(self._hook(name))

    def step(self, batch: Any) -> Taken:
        """One step; its metrics, and the gradients of each update."""
        self._events.clear()
        device = next(iter(self._keys)).device
        given = self._step(
            map_numpy(lambda array: to_tensor(array).to(device), batch)
        )
        metrics = {name: to_array(v) for name, v in (given or {}).items()}
        return Taken(metrics, tuple(self._events))

    def read(self) -> State:
        """Weights and buffers, and the moments of every optimizer."""
        state = {
            key: entry.layout.to_neutral(to_array(entry.tensor))
            for key, entry in self._entries.items()
        }
        for name, optimizer in self._optimizers.items():
            state |= self._moments(name, optimizer)
        return {key: np.array(array) for key, array in state.items()}

    @torch.no_grad()
    def write(self, state: Mapping[Key, NDArray]) -> None:
        """Copies a state into modules and optimizers."""
        for key, entry in self._entries.items():
            entry.tensor.copy_(to_tensor(entry.layout.from_neutral(state[key])))
        for name, optimizer in self._optimizers.items():
            self._write_moments(name, optimizer, state)

    def _hook(self, name: str) -> Callable[..., None]:
        """Notes the gradients that an optimizer is given."""

        def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            gradients = {}
            for weight in _weights(optimizer):
                if weight.grad is None:
                    continue
                key = self._keys[weight]
                gradient = self._entries[key].layout.to_neutral(
                    to_array(weight.grad)
                )
                gradients[key] = np.array(gradient)
            self._events.append(Event(name, gradients))

        return note

    def _moments(self, name: str, optimizer: torch.optim.Optimizer) -> State:
        found: State = {}
        steps = {}
        for weight in _weights(optimizer):
            key = self._keys[weight]
            kept = optimizer.state.get(weight, {})
            for slot in _slots(optimizer):
                value = kept.get(slot)
                if slot == "step":
                    steps[key] = int(value) if value is not None else 0
                    continue
                array = to_array(torch.zeros_like(weight))
                if value is not None:
                    array = to_array(value)
                found[_moment(key, slot)] = self._entries[
                    key
                ].layout.to_neutral(array)
        if len(set(steps.values())) > 1:
            fewest, most = min(steps, key=steps.get), max(steps, key=steps.get)  # type: ignore[arg-type]
            raise InputError(
                f"optimizer {name!r} took {steps[fewest]} steps of {fewest} "
                f"and {steps[most]} of {most}: every weight needs a gradient "
                "in every step"
            )
        if steps:
            count = next(iter(steps.values()))
            found[Key("moments", name, "", "step")] = np.array(count)
        return found

    def _write_moments(
        self,
        name: str,
        optimizer: torch.optim.Optimizer,
        state: Mapping[Key, NDArray],
    ) -> None:
        for weight in _weights(optimizer):
            key = self._keys[weight]
            values = {
                slot: state[
                    Key("moments", name, "", "step")
                    if slot == "step"
                    else _moment(key, slot)
                ]
                for slot in _slots(optimizer)
            }
            kept = optimizer.state.get(weight, {})
            # The first step of some rules is told by what is not there yet.
            if not kept and not any(v.any() for v in values.values()):
                continue
            layout = self._entries[key].layout
            for slot, value in values.items():
                if slot == "step":
                    new = torch.tensor(float(value), dtype=torch.float32)
                else:
                    new = to_tensor(layout.from_neutral(value)).to(weight)
                if isinstance(kept.get(slot), Tensor):
                    kept[slot].copy_(new)
                else:
                    optimizer.state[weight][slot] = new


def _slots(optimizer: torch.optim.Optimizer) -> tuple[str, ...]:
    """What an optimizer keeps of a weight."""
    options = optimizer.param_groups[0]
    if isinstance(optimizer, torch.optim.Adam | torch.optim.AdamW):
        extra = ("max_exp_avg_sq",) if options["amsgrad"] else ()
        return ("exp_avg", "exp_avg_sq", *extra, "step")
    if isinstance(optimizer, torch.optim.RMSprop):
        extra = ("momentum_buffer",) if options["momentum"] else ()
        return ("square_avg", *extra, "step")
    if isinstance(optimizer, torch.optim.SGD):
        return ("momentum_buffer",) if options["momentum"] else ()
    kept = next(iter(optimizer.state.values()), None)
    if kept is None:
        raise InputError(
            f"what {type(optimizer).__name__} keeps is known after its first "
            "step only: take one before the side is made"
        )
    return tuple(kept)


def _moment(key: Key, slot: str) -> Key:
    return Key("moments", key.part, key.path, _SLOTS.get(slot, slot))


def _weights(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [
        weight for group in optimizer.param_groups for weight in group["params"]
    ]


def to_array(value: Any) -> NDArray:
    """A tensor, or a number, as a NumPy array."""
    if not isinstance(value, Tensor):
        return np.asarray(value)
    value = value.detach().cpu()
    if value.dtype == torch.bfloat16:  # NumPy has none
        value = value.float()
    return value.numpy()


def to_tensor(array: NDArray) -> Tensor:
    """A tensor of a copy of a NumPy array."""
    return torch.from_numpy(np.array(array))
