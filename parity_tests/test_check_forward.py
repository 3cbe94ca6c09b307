"""A layer or network in both frameworks: output, derivative, first layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import linen, nnx
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

from experiment.errors import InputError
from parity_tests import check_forward, transposed
from parity_tests.arrays_torch import entries_of
from parity_tests.examples import checkpoints
from parity_tests.vjp import random_arrays


@pytest.fixture(autouse=True)
def _float64():
    before = jax.config.read("jax_enable_x64")
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def test_a_linen_network_agrees():
    result = checkpoints.check_network()
    assert result.ok, result
    assert result.coverage.arrays == {
        "activations": 3,
        "outputs": 1,
        "gradients": 7,
    }
    assert not result.coverage.left_out
    assert [of.name for of in result.errors][:4] == [
        "model/features",
        "model/norm",
        "model/output",
        "output",
    ]
    assert "Compared: 3 of activations, 1 of outputs" in str(result)


def test_the_first_layer_that_differs_is_named(monkeypatch):
    relu = jax.nn.relu
    monkeypatch.setattr(jax.nn, "relu", lambda h: relu(h) + 1e-3)
    result = checkpoints.check_network()
    assert result.first.entry.name == "model/output"
    assert "forward pass: activation model/output" in str(result.first)
    assert "a function between two layers" in result.explanation

    monkeypatch.setattr(jax.nn, "relu", relu)
    norm = linen.BatchNorm
    monkeypatch.setattr(
        linen, "BatchNorm", lambda **of: norm(epsilon=1e-3, **of)
    )
    result = checkpoints.check_network()
    assert result.first.entry.name == "model/norm"
    assert "epsilon of a norm" in result.explanation


class _Perceptron(nnx.Module):
    """Two layers and a batch norm, in training."""

    def __init__(self):
        options = {"rngs": nnx.Rngs(0), "param_dtype": jnp.float64}
        self.layers = nnx.List([nnx.Linear(4, 5, **options)])
        self.norm = nnx.BatchNorm(5, momentum=0.9, **options)
        self.output = nnx.Linear(5, 2, **options)

    def activation(self, h):
        return jnp.tanh(h)

    def __call__(self, x, classes):
        h = self.activation(self.norm(self.layers[0](x)))
        return {"logits": self.output(h)[classes], "classes": classes + 1}


class _TorchPerceptron(nn.Module):
    """The same in PyTorch."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList([nn.Linear(4, 5)])
        self.norm = nn.BatchNorm1d(5)
        self.output = nn.Linear(5, 2)
        self.double()

    def forward(self, x, classes):
        h = torch.tanh(self.norm(self.layers[0](x)))
        return {"logits": self.output(h)[classes], "classes": classes + 1}


INPUTS = {
    **random_arrays(x=(6, 4)),
    "classes": np.array([0, 2, 2]),
}


def test_an_nnx_network_agrees_and_both_stay_as_they_were():
    reference, port = _TorchPerceptron(), _Perceptron()
    before = {k: v.clone() for k, v in reference.state_dict().items()}
    mine = jax.tree.map(np.array, nnx.to_pure_dict(nnx.state(port)))
    call = nnx.Linear.__call__
    result = check_forward(reference, port, INPUTS)
    assert result.ok, result
    names = {(of.kind, of.name) for of in result.errors}
    assert {
        ("activation", "model/layers/0"),
        ("activation", "model/norm"),
        ("output", "output/classes"),
        ("gradient", "input/x"),
        ("gradient", "model/norm/scale"),
    } <= names
    assert ("gradient", "input/classes") not in names
    assert nnx.Linear.__call__ is call
    after = nnx.to_pure_dict(nnx.state(port))
    assert jax.tree.all(jax.tree.map(np.array_equal, mine, after))
    for name, tensor in reference.state_dict().items():
        if "num_batches" not in name:
            assert torch.equal(tensor, before[name]), name


def test_a_wrong_derivative_is_seen_where_the_output_is_right():
    def clipped(h):
        return h + jax.lax.stop_gradient(jnp.tanh(h) - h)

    h = random_arrays(h=(3, 4))["h"]
    result = check_forward(torch.tanh, clipped, (h,))
    assert result.first.phase == "backward pass"
    assert result.first.entry.name == "input/0"
    assert "detach or stop_gradient" in result.explanation


def test_weights_of_a_plain_function_under_other_names():
    model = nn.Sequential(nn.Linear(4, 3)).double()
    weights = {"dense": {"kernel": np.ones((4, 3)), "bias": np.ones(3)}}
    x = random_arrays(x=(2, 4))["x"]

    def port(weights, x):
        return x @ weights["dense"]["kernel"] + weights["dense"]["bias"]

    with pytest.raises(InputError, match=r"the port alone has model/dense"):
        check_forward(model, port, (x,), weights=weights)
    names = {"model/0": "model/dense"}
    result = check_forward(model, port, (x,), weights=weights, names=names)
    assert result.ok, result
    (left_out,) = result.coverage.left_out
    assert left_out == "activation of model/0: the reference alone has it"


def _square(x):
    return x**2


@pytest.mark.parametrize(
    ("reference", "port", "inputs", "options", "message"),
    [
        (_square, lambda x: (x, x), (np.ones(3),), {}, "names differ"),
        (_square, lambda x: x[:2], (np.ones(3),), {}, r"is \[3\] in the ref"),
        (
            _square,
            lambda x: x.astype(jnp.float32),
            (np.ones(3),),
            {},
            r"output \(output\) is float64 in the reference and float32 in the",
        ),
        (_square, _square, (jnp.ones(3),), {}, "input/0 is a .*give NumPy"),
        (_square, _square, (np.zeros(3),), {}, "the control is empty"),
        (torch.log, jnp.log, (-np.ones(3),), {}, "is not finite"),
        (torch.rand_like, jnp.ones_like, (np.ones(3),), {}, "deterministic"),
        (lambda x: "text", _square, (np.ones(3),), {}, "output .* is a str"),
        (_square, _square, (np.ones(3),), {"ignore": [""]}, "nothing to comp"),
    ],
)
def test_misuse_is_one_clear_line(reference, port, inputs, options, message):
    with pytest.raises(InputError, match=message) as raised:
        check_forward(reference, port, inputs, **options)
    assert "\n" not in str(raised.value)


def test_layouts_of_images():
    images = random_arrays(x=(2, 5, 4, 3))["x"]
    first = transposed(0, 2, 3, 1)
    layouts = {"input/0": first, "output": first}

    def port(x):
        return jnp.pad(x, ((0, 0), (1, 1), (2, 2), (0, 0)))

    result = check_forward(
        nn.ZeroPad2d((2, 2, 1, 1)), port, (images,), layouts=layouts
    )
    assert result.ok, result


def test_a_parametrized_weight_keeps_its_name():
    """Spectral normalisation has two vectors next to the weight that it has."""
    network = nn.Sequential(spectral_norm(nn.Conv2d(2, 3, 5)))
    inside = {key.path: entry for key, entry in entries_of({"D": network}, {})}
    added = "0/parametrizations/weight/0"
    assert set(inside) == {"0/kernel", "0/bias", f"{added}/_u", f"{added}/_v"}
    kernel = inside["0/kernel"].layout.to_neutral(np.zeros((3, 2, 5, 4)))
    assert kernel.shape == (5, 4, 2, 3)
    alone = entries_of({"D": spectral_norm(nn.Linear(2, 3))}, {})
    assert "kernel" in {key.path for key, _ in alone}
    # Of two arrays of one weight neither is it.
    of_two = entries_of({"D": weight_norm(nn.Linear(2, 3))}, {})
    paths = {key.path for key, _ in of_two if key.path != "bias"}
    assert paths == {f"parametrizations/weight/original{i}" for i in range(2)}
