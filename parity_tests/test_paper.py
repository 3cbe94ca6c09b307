"""The recipes of the authors' MNIST experiment: what mnist.yaml says."""

import numpy as np
import pytest

import jax_gan
import torch_ref
from experiment.cli import main
from experiment.data import mean_logit
from experiment.errors import InputError
from experiment.recipes import recipe
from experiment.stream import DiscriminatorBatch, Stream
from parity_tests.faults.paper import PAPER
from parity_tests.small import small_config, small_data

TWINS = pytest.mark.parametrize(
    "twin", [jax_gan, torch_ref], ids=lambda twin: twin.__name__
)
NAMES = pytest.mark.parametrize("name", ["paper", "paper-algorithm1"])


@TWINS
@NAMES
def test_info_prints_the_number_of_parameters(name, twin, capsys):
    assert main(twin.__name__, ["info", "--recipe", name]) == 0
    printed = capsys.readouterr().out
    assert "2,503,984" in printed
    assert "1,231,441" in printed


@TWINS
def test_first_weights(twin, digits):
    config = recipe("paper", precision="float64")
    data = digits(config)
    twin.select_device("cpu", config)
    state = twin.to_numpy(twin.create(config, data))
    bias = state.pop("generator/params/output/bias")
    np.testing.assert_array_equal(bias, mean_logit(data))
    for name, array in state.items():
        if name.endswith("/kernel") and "/params/" in name:
            width = 0.05 if name.startswith("generator") else 0.005
            assert 0.95 * width < np.abs(array).max() <= width, name
        else:  # biases, velocities, steps
            assert not array.any(), name


def test_the_recipes_differ_in_the_rule_alone():
    same = recipe("paper-algorithm1", updates="simultaneous", recipe="paper")
    assert same == recipe("paper", loss="saturating")


def test_simultaneous_players_share_one_batch():
    config = small_config(**PAPER)
    batch = Stream(config, small_data()).batch(0)
    assert isinstance(batch, DiscriminatorBatch)
    assert batch.x.shape == (8, 28, 28, 1)
    assert batch.fake_masks["input"].shape == (8, 784)
    assert not np.array_equal(
        batch.real_masks["input"], batch.fake_masks["input"]
    )


@TWINS
@NAMES
def test_training_on_digits_stays_finite(name, twin, digits):
    """Twenty iterations in float32, at the shipped size and rate."""
    config = recipe(name)
    data = digits(config)
    twin.select_device("cpu", config)
    game = twin.create(config, data)
    batches = twin.place(Stream(config, data).batches(0, 20))
    _, metrics = twin.train(game, batches)
    assert all(np.isfinite(np.asarray(values)).all() for values in metrics)
    # The untrained D is at 1/2, and half of 2 log 2 is the shipped loss.
    first = np.log(2) if name == "paper" else 2 * np.log(2)
    assert abs(float(metrics.discriminator_loss[0]) - first) < 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"updates": "simultaneous", "k": 2}, "k is 2: with updates simult"),
        ({"updates": "both"}, "updates 'both' is unknown"),
        ({"network": "maxout", "pieces": 0}, "pieces is 0"),
        ({"min_learning_rate": 0.2}, "min-learning-rate is 0.2"),
        ({"saturation_epoch": 1}, "saturation-epoch is 1"),
        ({"epoch_steps": 0}, "epoch-steps is 0"),
        ({"final_momentum": 1.0}, "final-momentum is 1.0"),
    ],
)
def test_a_bad_choice_is_named(changes, message):
    with pytest.raises(InputError, match=f"^{message}"):
        recipe("mlp", **changes)
