"""Exported weights serve in modules that know nothing of the project."""

import flax.linen as flax_nn
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax.traverse_util import unflatten_dict
from safetensors.numpy import load_file
from torch import nn

import jax_gan
import torch_ref
from experiment import run
from experiment.checkpoints import save_checkpoint
from experiment.cli import main
from experiment.recipes import recipe

M = 5  # samples


class LinenGenerator(flax_nn.Module):
    """The generator of a small ``digits``, from Flax's own layers."""

    channels = (8, 4)

    @flax_nn.compact
    def __call__(self, z):
        """G(z)."""
        first, second = self.channels
        h = flax_nn.Dense(49 * first, use_bias=False, name="project")(z)
        h = h.reshape(len(z), 7, 7, first)
        for i, units in enumerate((second, 1)):
            norm = flax_nn.BatchNorm(True, epsilon=1e-5, name=f"norm_{i}")
            last = units == 1
            layer = flax_nn.ConvTranspose(
                units,
                (4, 4),
                (2, 2),
                transpose_kernel=True,
                use_bias=last,
                name="output" if last else f"upsample_{i}",
            )
            h = layer(flax_nn.relu(norm(h)))
        return jnp.tanh(h)


class TorchGenerator(nn.Module):
    """The same from PyTorch's own layers, with images as it has them."""

    def __init__(self, first=8, second=4):
        super().__init__()
        self.project = nn.Linear(10, 49 * first, bias=False)
        sizes = {"kernel_size": 4, "stride": 2, "padding": 1}
        self.upsample = nn.ModuleList(
            [nn.ConvTranspose2d(first, second, bias=False, **sizes)]
        )
        self.norm = nn.ModuleList(map(nn.BatchNorm2d, (first, second)))
        self.output = nn.ConvTranspose2d(second, 1, **sizes)

    def forward(self, z):
        """G(z)."""
        # The rows of the dense layer are in the order height, width, channel.
        h = self.project(z).reshape(len(z), 7, 7, -1).permute(0, 3, 1, 2)
        h = self.upsample[0](self.norm[0](h).relu())
        return torch.tanh(self.output(self.norm[1](h).relu()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of a small ``digits``, whose numbers are all different."""
    config = recipe(
        "digits",
        noise_size=10,
        generator_hidden=(8, 4),
        discriminator_hidden=(4, 8),
        discriminator_dense=(6,),
    )
    folder = tmp_path_factory.mktemp("runs") / "run"
    run.create_folder(folder, config)
    blank = np.zeros((1, 28, 28, 1), np.float32)
    state = torch_ref.to_numpy(torch_ref.create(config, blank))
    rng = np.random.default_rng(3)
    for name, array in state.items():
        if array.dtype == np.float32:
            low = 0.5 if name.endswith("/var") else -0.3
            numbers = rng.uniform(low, low + 0.6, array.shape)
            state[name] = numbers.astype(np.float32)
    save_checkpoint(folder, 7, state)
    return folder, config, state


def _export(folder, out, format, *options):
    arguments = ["--run", folder, "--out", out, "--format", format, *options]
    return main("torch_ref", ["export", *map(str, arguments)])


def _expected(config, state):
    z = np.random.default_rng(0).standard_normal((M, 10)).astype(np.float32)
    blank = np.zeros((1, 28, 28, 1), np.float32)
    game = jax_gan.create(config, blank)
    samples = jax_gan.sample_images(jax_gan.from_numpy(game, state), z)
    assert np.ptp(samples) > 0.1
    return z, samples


def test_flax_variables_in_layers_of_flax(folder, tmp_path):
    folder, config, state = folder
    out = tmp_path / "g.safetensors"
    assert _export(folder, out, "flax") == 0
    variables = unflatten_dict(load_file(out), sep="/")
    z, expected = _expected(config, state)
    samples = LinenGenerator().apply(variables, z)
    np.testing.assert_allclose((samples + 1) / 2, expected, atol=1e-5)


def test_torch_state_dict_in_layers_of_torch(folder, tmp_path):
    folder, config, state = folder
    out = tmp_path / "g.safetensors"
    assert _export(folder, out, "torch-state-dict") == 0
    network = TorchGenerator()
    weights = {k: torch.from_numpy(v) for k, v in load_file(out).items()}
    network.load_state_dict(weights)
    z, expected = _expected(config, state)
    samples = network.eval()(torch.from_numpy(z)).detach().numpy()
    samples = samples.transpose(0, 2, 3, 1)
    np.testing.assert_allclose((samples + 1) / 2, expected, atol=1e-5)


def test_discriminator_in_torch_ref(folder, tmp_path):
    folder, config, _ = folder
    out = tmp_path / "d.safetensors"
    options = ("--network", "discriminator")
    assert _export(folder, out, "torch-state-dict", *options) == 0
    arrays = load_file(out)
    network = torch_ref.create(
        config, np.zeros((1, 28, 28, 1), np.float32)
    ).discriminator.network
    network.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()})


def test_bad_input(folder, tmp_path, capsys):
    folder = folder[0]
    assert _export(folder, tmp_path / "g.pt", "flax") == 2
    assert ".safetensors" in capsys.readouterr().err
    out = tmp_path / "g.safetensors"
    assert _export(tmp_path, out, "flax") == 2
    assert not out.exists()
    with pytest.raises(SystemExit):
        _export(folder, out, "orbax")
    assert "torch-state-dict" in capsys.readouterr().err
