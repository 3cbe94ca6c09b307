"""Arrays of PyTorch's modules, by framework-neutral name and layout."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.parametrize import ParametrizationList

from parity_tests.side import (
    AS_IT_IS,
    TORCH_COUNT,
    TORCH_STATISTICS,
    Key,
    Layout,
    layout_of,
    transposed,
)

_SCALED = (_BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


class Entry(NamedTuple):
    """An array of the state: where it is, and its framework-neutral layout."""

    tensor: Tensor
    layout: Layout


def entries_of(
    modules: Mapping[str, nn.Module], layouts: Mapping[str, Layout]
) -> Iterator[tuple[Key, Entry]]:
    """Every parameter and buffer of the modules."""
    for part, network in modules.items():
        for name, layer in network.named_modules():
            for kind, tensors in (
                ("weights", layer.named_parameters(recurse=False)),
                ("statistics", layer.named_buffers(recurse=False)),
            ):
                for leaf, tensor in tensors:
                    if leaf == TORCH_COUNT:
                        continue
                    owner, of, own = name, layer, leaf
                    if leaf == "original":
                        owner, of, own = _parametrized(network, name, layer)
                    known, layout = _named(of, own, tensor)
                    path = f"{owner}.{known}".strip(".").replace(".", "/")
                    layout = layout_of(f"{part}/{path}", layouts, layout)
                    yield Key(kind, part, path), Entry(tensor, layout)


def _parametrized(
    network: nn.Module, name: str, layer: nn.Module
) -> tuple[str, nn.Module, str]:
    """Layer and array that ``original`` of a layer stands for.

    That of ``hidden.parametrizations.weight`` is ``hidden.weight``. Where an
    array is made of several, as in weight normalisation, none of them is
    called ``original``, and each keeps its own name.
    """
    if not isinstance(layer, ParametrizationList):
        return name, layer, "original"
    owner, _, array = f".{name}".rpartition(".parametrizations.")
    owner = owner.removeprefix(".")
    return owner, network.get_submodule(owner), array


def _named(layer: nn.Module, leaf: str, tensor: Tensor) -> tuple[str, Layout]:
    """The framework-neutral name and layout of an array of a layer."""
    if isinstance(layer, _SCALED):
        return {"weight": "scale", **TORCH_STATISTICS}.get(leaf, leaf), AS_IT_IS
    if leaf != "weight":
        return leaf, AS_IT_IS
    if isinstance(layer, nn.Embedding):
        return "embedding", AS_IT_IS
    if isinstance(layer, nn.Linear | _ConvNd):
        # [out, in, *space], or [in, out, *space] of transposed convolutions,
        # which are the gradients of convolutions: the same axes either way.
        return "kernel", transposed(*range(2, tensor.ndim), 1, 0)
    return leaf, AS_IT_IS
