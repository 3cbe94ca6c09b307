"""A state_dict against Flax's tree, with slips that must be explained."""

import numpy as np
import pytest
import torch
from orbax.checkpoint import StandardCheckpointer
from safetensors.numpy import save_file
from torch import nn

from experiment.errors import InputError
from parity_tests import check_checkpoint


@pytest.fixture
def model():
    """A convolution, a norm, and a dense layer after flattening."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 4), nn.BatchNorm2d(3), nn.Linear(12, 12)
    )
    model[1].running_mean.uniform_()
    model[1].running_var.uniform_()
    return model


@pytest.fixture
def tree(model):
    """The same as Flax has it."""
    state = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    return {
        "params": {
            "Conv_0": {
                "kernel": state["0.weight"].transpose(2, 3, 1, 0).copy(),
                "bias": state["0.bias"],
            },
            "BatchNorm_0": {
                "scale": state["1.weight"],
                "bias": state["1.bias"],
            },
            "Dense_0": {
                "kernel": state["2.weight"].T.copy(),
                "bias": state["2.bias"],
            },
        },
        "batch_stats": {
            "BatchNorm_0": {
                "mean": state["1.running_mean"],
                "var": state["1.running_var"],
            }
        },
    }


NAMES = {
    "model/0": "model/Conv/0",
    "model/1": "model/BatchNorm/0",
    "model/2": "model/Dense/0",
}


def test_a_checkpoint_that_agrees(model, tree):
    result = check_checkpoint(model.state_dict(), tree, names=NAMES)
    assert result.ok, result
    assert result.coverage.arrays == {
        "weights": 6,
        "moments": 0,
        "statistics": 2,
    }
    assert str(result).endswith("0 of moments, 2 of statistics.")


def test_files(model, tree, tmp_path):
    reference, port = tmp_path / "a.safetensors", tmp_path / "orbax"
    pickled = tmp_path / "a.pt"
    torch.save(model.state_dict(), pickled)
    save_file(
        {k: v.numpy().copy() for k, v in model.state_dict().items()}, reference
    )
    with StandardCheckpointer() as checkpointer:
        checkpointer.save(port, tree)
    assert check_checkpoint(reference, port, names=NAMES).ok
    assert check_checkpoint(pickled, port, names=NAMES).ok


def test_files_of_torch_that_hold_more_than_weights(model, tree, tmp_path):
    path = tmp_path / "a.pt"
    torch.save({"model": model.state_dict(), "step": 3}, path)
    with pytest.raises(InputError, match=r"model of the reference is a .*Dict"):
        check_checkpoint(path, tree)
    torch.save(model, path)
    with pytest.raises(InputError, match="neither a safetensors file nor ten"):
        check_checkpoint(path, tree)


@pytest.mark.parametrize(
    ("layer", "leaf", "slip", "name", "cause"),
    [
        (
            "Conv_0",
            "kernel",
            lambda array: array.swapaxes(0, 1),
            "model/0/kernel",
            "transposed: its axes are the reference's (1, 0, 2, 3)",
        ),
        (
            "Dense_0",
            "kernel",
            lambda array: array.T,
            "model/2/kernel",
            "explained by: transposed",
        ),
        (
            "Dense_0",
            "kernel",
            lambda a: (
                a.reshape(3, 2, 2, 12).transpose(1, 2, 0, 3).reshape(12, 12)
            ),
            "model/2/kernel",
            "axis 0 is an image of 3 channels and 2x2, flattened channels last",
        ),
        (
            "Dense_0",
            "bias",
            lambda array: -array,
            "model/2/bias",
            "explained by: the sign",
        ),
    ],
)
def test_a_slip_is_explained(model, tree, layer, leaf, slip, name, cause):
    of = tree["params"][layer]
    of[leaf] = np.ascontiguousarray(slip(of[leaf]))
    result = check_checkpoint(model.state_dict(), tree, names=NAMES)
    (found,) = result.divergences
    assert found.entry.name == name
    assert cause in result.explanation


def test_statistics_that_were_never_copied(model, tree):
    tree["batch_stats"]["BatchNorm_0"]["var"] = np.ones(3, np.float32)
    result = check_checkpoint(model.state_dict(), tree, names=NAMES)
    assert result.first.entry.name == "model/1/var"
    assert result.explanation == (
        "explained by: 1 everywhere: as in a new model, never copied"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree["params"].pop("Dense_0"), "the reference alone has"),
        (
            lambda tree: tree["params"].update(extra={"x": np.ones(2)}),
            r"the port alone has model/extra/x \[2\]",
        ),
    ],
)
def test_a_tensor_that_is_lost_or_added(model, tree, change, message):
    change(tree)
    with pytest.raises(InputError, match=message):
        check_checkpoint(model.state_dict(), tree, names=NAMES)


def test_files_that_are_none(tmp_path, model):
    broken = tmp_path / "broken"
    broken.write_text("{}")
    for path in (broken, tmp_path / "missing", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            check_checkpoint(model.state_dict(), path)
