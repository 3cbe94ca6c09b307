"""Mixed precision: the networks in bfloat16, all else in float32.

No bound on rounding errors of a hundredth proves anything alone. So the
twins' gradients are held against what bfloat16 itself does to PyTorch's, and
every product of either twin is looked at.
"""

from dataclasses import replace

import jax
import numpy as np
import pytest
import torch
from jax.extend.core import jaxprs_in_params
from torch.utils._python_dispatch import TorchDispatchMode

import jax_gan
import torch_ref
from experiment.config import Config, InputError
from experiment.recipes import recipe
from experiment.stream import Stream
from parity_tests.compare import Gap

PRODUCTS = ("mm", "addmm", "convolution", "convolution_backward")
# A unit near its kink may fall on either side: no game of few units.
LAYERS = {"generator_hidden": (32, 32), "discriminator_hidden": (32, 32)}
CONFIGS = {
    "mlp": recipe("mlp", **LAYERS, keep_hidden=0.5),
    "paper": recipe("paper", data="mnist5k", **LAYERS),
    "dcgan": recipe(
        "dcgan",
        generator_hidden=(8, 4),
        discriminator_hidden=(4, 8),
        batch_size=16,
    ),
}
ALL = pytest.mark.parametrize("name", CONFIGS)


def _mixed(name):
    return replace(CONFIGS[name], compute="bfloat16")


def _games(config, data):
    """Both games, from the weights that JAX drew."""
    jax_gan.select_device("cpu", config)
    torch_ref.select_device("cpu", config)
    ours = jax_gan.create(config, data)
    theirs = torch_ref.create(config, data)
    return ours, torch_ref.from_numpy(theirs, jax_gan.to_numpy(ours))


def _moved(before, after):
    """What an iteration added to the moments: the gradients, in one vector."""
    return np.concatenate(
        [
            (array - before[name]).ravel()
            for name, array in sorted(after.items())
            if name.endswith("/kernel")
            and "/optimizer/" in name
            # Squares of gradients say the same in another unit.
            and "/optimizer/v/" not in name
        ]
    )


@ALL
def test_twins_differ_by_no_more_than_bfloat16(name, digits, measured):
    config = _mixed(name)
    data = digits(config)
    batch = Stream(config, data).batch(0)
    ours, theirs = _games(config, data)
    _, full = _games(CONFIGS[name], data)
    full = torch_ref.from_numpy(full, torch_ref.to_numpy(theirs))
    before = jax_gan.to_numpy(ours)
    ours, our_metrics = ours.step(jax_gan.place(batch))
    theirs, their_metrics = theirs.step(torch_ref.place(batch))
    full, _ = full.step(torch_ref.place(batch))

    jax_g, torch_g, full_g = (
        _moved(before, twin.to_numpy(game))
        for twin, game in (
            (jax_gan, ours),
            (torch_ref, theirs),
            (torch_ref, full),
        )
    )
    scale = np.linalg.norm(full_g)
    rounding = np.linalg.norm(torch_g - full_g) / scale
    between = np.linalg.norm(jax_g - torch_g) / scale
    assert 1e-4 < rounding < 0.1  # it is bfloat16, and still the gradient
    gaps = [
        abs(float(a) - float(b))
        for a, b in zip(our_metrics, their_metrics, strict=True)
    ]
    measured(
        {
            "gradients": Gap(between, "all kernels"),
            "metrics": Gap(max(gaps), "all"),
        },
        {"gradients": 1.5 * rounding, "metrics": 1e-2},
    )


class _Products(TorchDispatchMode):
    """Notes the types that products of tensors take."""

    def __init__(self):
        super().__init__()
        self.types = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket.__name__ in PRODUCTS:
            self.types |= {
                str(a.dtype).removeprefix("torch.")
                for a in args
                if isinstance(a, torch.Tensor)
            }
        return function(*args, **(kwargs or {}))


def _types_of_products(jaxpr):
    found = set()
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            found |= {str(a.aval.dtype) for a in equation.invars}
        for inner in jaxprs_in_params(equation.params):
            found |= _types_of_products(inner)
    return found


@ALL
@pytest.mark.parametrize("compute", ["full", "bfloat16"])
def test_every_product_and_nothing_else(name, compute, digits):
    config = replace(CONFIGS[name], compute=compute)
    data = digits(config)
    batch = Stream(config, data).batch(0)
    ours, theirs = _games(config, data)
    step = jax.make_jaxpr(type(ours).step)(ours, jax_gan.place(batch))
    with _Products() as products:
        theirs, metrics = theirs.step(torch_ref.place(batch))
    wanted = {config.compute_dtype}
    assert _types_of_products(step.jaxpr) == wanted
    assert products.types == wanted
    assert {str(a.dtype) for a in step.out_avals} <= {"float32", "int32"}
    state = torch_ref.to_numpy(theirs).values()
    assert {str(a.dtype) for a in state} <= {"float32", "int32"}
    assert {m.dtype for m in metrics} == {torch.float32}


def test_float64_is_for_proofs():
    with pytest.raises(InputError, match="float64"):
        Config(compute="bfloat16", precision="float64")
