"""Checks one layer or network: its forward pass and its derivative.

    check_forward(torch_module, linen_module.apply, (x,), weights=variables)

copies the weights to JAX, and names the first layer whose output differs.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiment.errors import InputError
from parity_tests.check import require_alike
from parity_tests.comparison import Arrays, Comparison, Place, rounding_of
from parity_tests.forward_pass import Pass, arrays_of
from parity_tests.measure import one_ulp_away
from parity_tests.result import Coverage, Result
from parity_tests.runner import Names
from parity_tests.side import Layout, State


def check_forward(
    torch_module: Callable[..., Any],
    jax_function: Callable[..., Any],
    inputs: Any,
    *,
    weights: Any = None,
    names: Names | None = None,
    layouts: Mapping[str, Layout] | None = None,
    floor: float | None = None,
    factor: float = 100,
    ignore: Sequence[str] = (),
) -> Result:
    """Compares outputs, activations and gradients for the same inputs.

    The gradients are the vector-Jacobian product of a fixed random cotangent,
    of every weight and floating-point input. The output of each PyTorch layer
    is compared with that of the Flax module of the same name, linen's or
    NNX's; functions of plain JAX have none. An error is the largest absolute
    difference over the larger of 1 and the largest absolute value. Its bound
    is the larger of ``floor`` and ``factor`` times the change of PyTorch's
    array when weights and inputs change by one unit in the last place.

    Args:
        torch_module: a module, or a function of the inputs. It is the
            reference, and ends as it began.
        jax_function: a function of ``weights`` and the inputs, such as the
            ``apply`` of a linen module; of the inputs, if ``weights`` are
            left out; or an NNX module, whose weights are found.
        inputs: a tuple in the order of the arguments, or a dict by their
            names: NumPy arrays, also in dicts, lists and tuples. Everything
            but arrays of floating-point numbers is a constant.
        weights: the pytree that ``jax_function`` takes first, such as linen's
            variables. Its numbers are replaced by those of ``torch_module``.
        names: what has another name in JAX, by PyTorch's: ``{"model/net/0":
            "model/Dense/0"}`` is for a layer, its weights and its output.
        layouts: of what is not in the framework-neutral layout in PyTorch, by
            a regular expression: ``{"input/0": transposed(0, 2, 3, 1)}`` is
            for images with their channels first. Weights are named
            ``model/hidden/kernel``, a layer's output ``model/hidden``, inputs
            ``input/0`` or ``input/x``, outputs ``output``, ``output/0`` or
            ``output/name``.
        floor: smallest bound; by default 1e-12 in float64 and 5e-7 in
            float32.
        factor: how many times the control's error is allowed.
        ignore: regular expressions of names not to compare.

    Returns:
        What differs first, in the order of PyTorch's computation, the error
        and the bound of every array, and what was compared.

    Raises:
        InputError: names, shapes or precisions do not match; an array of the
            reference is not finite; the reference is not deterministic.
    """
    from parity_tests.forward_jax import JaxForward
    from parity_tests.forward_torch import TorchForward

    reference = TorchForward(torch_module, layouts or {})
    state = reference.read()
    port = JaxForward(
        jax_function,
        weights,
        {theirs: ours for ours, theirs in (names or {}).items()},
        {key[1:]: key.kind for key in state},
    )
    if theirs := port.read():
        _require_alike(state, theirs)
    values = {**state, **arrays_of(inputs)}
    moved = one_ulp_away(values)
    comparison = Comparison(floor, factor)
    comparison.start(_places(values, "input"))
    expected = reference.run(values, inputs)
    arrays = _of_pass(expected)
    comparison.require_finite(0, arrays)
    again = reference.run(values, inputs)
    comparison.require_deterministic(arrays, _of_pass(again))
    other = _of_pass(reference.run(moved, inputs))
    comparison.add_control(rounding_of(other, arrays))
    found = port.run(values, inputs, expected)
    return _compare(comparison, arrays, _of_pass(found), ignore)


def _require_alike(ours: State, theirs: State) -> None:
    """As ``require_alike``, but for precision: numbers are replaced."""
    require_alike(
        ours,
        {
            key: array.astype(ours[key].dtype) if key in ours else array
            for key, array in theirs.items()
        },
    )


def _places(arrays: State, phase: str) -> Arrays:
    return {Place(phase, k.kind, str(k)): of for k, of in arrays.items()}


def _of_pass(of: Pass) -> Arrays:
    """All arrays in the order of their making."""
    return {
        **_places(of.activations, "forward pass"),
        **_places(of.outputs, "forward pass"),
        **_places(of.gradients, "backward pass"),
    }


def _compare(
    comparison: Comparison,
    reference: Arrays,
    port: Arrays,
    ignore: Sequence[str],
) -> Result:
    """The result; what is not compared is listed."""
    left_out = []
    for whose, ours, theirs in (
        ("reference", reference, port),
        ("port", port, reference),
    ):
        for kind in ("activation", "gradient"):
            only = [
                place.name
                for place in ours
                if place.kind == kind and place not in theirs
            ]
            if only:
                more = f" and {len(only) - 8} more" if len(only) > 8 else ""
                left_out.append(
                    f"{kind} of {', '.join(only[:8])}{more}: the {whose} alone "
                    "has it"
                )
    compared = {}
    for place, array in reference.items():
        if place not in port:
            continue
        other = _as_reference(array, port[place], place.kind)
        if any(re.search(pattern, place.name) for pattern in ignore):
            left_out.append(f"{place.name} ({place.kind}): ignored")
        elif array.shape != other.shape and place.kind == "activation":
            left_out.append(
                f"activation of {place.name}: it is {list(array.shape)} in the "
                f"reference and {list(other.shape)} in the port"
            )
        else:
            compared[place] = other
    if not compared:
        raise InputError(f"ignore {list(ignore)} leaves nothing to compare")
    comparison.add(0, reference, compared)
    counts = Counter(f"{of.kind}s" for of in comparison.worst.values())
    return Result(
        tuple(comparison.divergences.values()),
        tuple(comparison.worst.values()),
        Coverage(
            0,
            dict(counts),
            (),
            comparison.gradients,
            (*left_out, *comparison.meaningless.values()),
        ),
        tuple(comparison.growth),
    )


def _as_reference(ours: NDArray, theirs: NDArray, kind: str) -> NDArray:
    """An activation with its channels first, if the reference's has them so.

    What a module of several layers gives has no layout that is known.
    """
    if kind == "activation" and theirs.ndim > 2 and ours.shape != theirs.shape:
        moved = np.moveaxis(theirs, -1, 1)
        if moved.shape == ours.shape:
            return moved
    return theirs
