"""The twins have the same files, public names, parameters and arrays."""

import ast
from pathlib import Path

import pytest

import jax_gan
import torch_ref
from experiment.recipes import RECIPES, recipe

JAX, TORCH = (Path(twin.__file__).parent for twin in (jax_gan, torch_ref))

# What may differ, and why. "file: name" or "file: name(parameters)".
ONLY_JAX = {
    "accelerate.py: train_by_steps(game, batches)": "PyTorch's train is that",
    "accelerate.py: train_flat(game, batches)": "PyTorch's fused kernels "
    "take all weights in one call",
    "accelerate.py: train_unrolled(game, batches)": "graph_train is given how "
    "many",
    "convolution.py": "XLA's own convolutions are slow on a CPU",
    "layers.py: Dense.__call__(self, h)": "PyTorch's own serves",
    "parallel.py: copy_inside(tree, devices)": "no program of PyTorch's has "
    "several devices",
    "parallel.py: local(game)": "a process of PyTorch's has one device",
    "parallel.py: pinned(train, game)": "a process of PyTorch's has one device",
    "parallel.py: split(batches, devices)": "a process of PyTorch's has one "
    "device",
    "parallel.py: split_inside(batch, devices)": "no program of PyTorch's has "
    "several devices",
    "game.py: Player.descend(self, gradients)": "JAX has computed them: "
    "value_and_grad",
    "optim.py: adam(config, player)": "Optax is given the weights later",
    "optim.py: sgd(config, player)": "Optax is given the weights later",
    "optim.py: classical_momentum(config, player)": "Optax is given the "
    "weights later",
    "optim.py: VelocityState": "PyTorch's optimizer holds its state",
    "seeds.py: train_seeds_over(devices, game, batches)": "a process of "
    "PyTorch's has one device",
    "sample.py: sample_batch(config, data, key)": "a key, not a generator",
}
ONLY_TORCH = {
    "accelerate.py: compile_train(game, mode)": "JAX's train is jitted",
    "graphs.py": "JAX's scan is what CUDA graphs are for",
    "launch.py": "a process of JAX's drives all devices",
    "momentum.py": "PyTorch's optimizers are classes",
    "game.py: Player.descend(self, loss)": "PyTorch computes gradients here",
    "optim.py: adam(config, player, parameters)": "PyTorch's owns them",
    "optim.py: sgd(config, player, parameters)": "PyTorch's owns them",
    "optim.py: classical_momentum(config, player, parameters)": "PyTorch's "
    "owns them",
    "parallel.py: average_gradients(parameters)": "XLA adds the all-reduces",
    "parallel.py: mean_over_processes(tensor)": "XLA adds the all-reduces",
    "sample.py: train_in_pieces(draw, train)": "a CUDA graph has as many "
    "iterations as were recorded",
    "sample.py: sample_batch(config, data, rng, rows)": "a generator, not a "
    "key; XLA splits the batch",
    "weights.py: named_parameters(network)": "JAX's are framework-neutral",
}
# The same thing under the name that each framework gives it.
SYNONYMS = {"forward": "__call__", "Tensor": "Array"}


def test_files():
    ours = {path.name for path in JAX.glob("*.py")} - ONLY_JAX.keys()
    theirs = {path.name for path in TORCH.glob("*.py")} - ONLY_TORCH.keys()
    assert ours == theirs


def test_public_names():
    ours, theirs = _names(JAX), _names(TORCH)
    assert ours - theirs == {name for name in ONLY_JAX if ":" in name}
    assert theirs - ours == {name for name in ONLY_TORCH if ":" in name}


def test_exports():
    assert jax_gan.__all__ == torch_ref.__all__


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "classical-momentum"])
@pytest.mark.parametrize("name", RECIPES)
def test_arrays(name, optimizer, digits):
    config = recipe(name, optimizer=optimizer, precision="float64")
    jax_gan.select_device("cpu", config)
    ours = jax_gan.to_numpy(jax_gan.create(config, digits(config)))
    theirs = torch_ref.to_numpy(torch_ref.create(config, digits(config)))
    assert _shapes(ours) == _shapes(theirs)


def test_length_of_files():
    for path in [*JAX.glob("*.py"), *TORCH.glob("*.py")]:
        assert len(path.read_text().splitlines()) <= 150, path


def _shapes(state):
    return {name: (array.shape, array.dtype) for name, array in state.items()}


def _names(folder: Path) -> set[str]:
    """Public functions, classes and methods, with their parameters."""
    names = set()
    for path in folder.glob("*.py"):
        if path.name in ONLY_JAX | ONLY_TORCH:
            continue
        for node in ast.parse(path.read_text()).body:
            names |= {f"{path.name}: {name}" for name in _of(node)}
    return names


def _of(node: ast.stmt, prefix: str = "") -> set[str]:
    if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
        # A layer or network of either framework: its call is its signature.
        names = {f"{prefix}{node.name}"}
        for child in node.body:
            names |= _of(child, f"{node.name}.")
        return names
    if not isinstance(node, ast.FunctionDef):
        return set()
    name = SYNONYMS.get(node.name, node.name)
    if name.startswith("_") and name != "__call__":
        return set()
    if prefix and name == "setup":  # PyTorch builds layers in __init__
        return set()
    parameters = ", ".join(argument.arg for argument in node.args.args)
    return {f"{prefix}{name}({parameters})"}
