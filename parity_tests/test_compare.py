"""The comparison itself can fail, in each of the ways that it promises."""

import numpy as np
import pytest
import torch

import jax_gan
import torch_ref
from experiment.errors import InputError
from experiment.stream import Stream
from parity_tests.compare import by_kind, gap
from torch_ref.train import Metrics, generator_step


def test_finds_the_worst_leaf():
    ours = {"a": np.zeros(3), "b": np.zeros(2)}
    theirs = {"a": np.array([0, 1e-9, 0]), "b": np.array([0, -1e-6])}
    assert gap(ours, theirs) == (1e-6, "b")


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        ({"b": np.zeros(2)}, "names differ"),
        ({"a": np.zeros(3)}, "is not"),
        ({"a": np.zeros(2, np.float32)}, "is not"),
        ({"a": np.array([0, np.nan])}, "not finite"),
    ],
)
def test_refuses(theirs, message):
    with pytest.raises(AssertionError, match=message):
        gap({"a": np.zeros(2)}, theirs)


def test_integers_do_not_wrap():
    ours, theirs = np.zeros(1, np.uint8), np.ones(1, np.uint8)
    assert gap({"a": ours}, {"a": theirs}).error == 1


def test_a_state_of_unknown_names_is_refused():
    """Or what they name would not be compared."""
    ours, theirs = ({"d/buffers/var": np.full(2, n)} for n in (0.0, 1.0))
    with pytest.raises(InputError, match="'d/buffers/var' is no name"):
        by_kind(ours, theirs)


def test_refuses_an_alias():
    array = np.zeros(2)
    with pytest.raises(AssertionError, match="itself"):
        gap({"a": array}, {"a": array[:]})


@pytest.mark.parametrize("twin", [jax_gan, torch_ref], ids=lambda t: t.__name__)
def test_crossing_copies(twin, tiny):
    """Neither reading nor writing state shares memory with the game."""
    config, data = tiny
    twin.select_device("cpu", config)
    game = twin.create(config, data)
    state = twin.to_numpy(game)
    kept = {name: array.copy() for name, array in state.items()}
    game = twin.from_numpy(game, state)
    for array in state.values():
        array += 1
    assert gap(twin.to_numpy(game), kept).error == 0

    batch = Stream(config, data).batch(0)
    placed = twin.place(batch)
    before = np.asarray(placed.generator.z).copy()
    batch.generator.z[...] = 7
    np.testing.assert_array_equal(np.asarray(placed.generator.z), before)


def test_metrics_of_a_gpu_are_fetched():
    class OnGPU(torch.Tensor):
        """NumPy may not read it where it lies."""

        def __array__(self, *_):
            raise TypeError

        def numpy(self):
            raise TypeError

        def cpu(self):
            return self.as_subclass(torch.Tensor)

    value = torch.tensor([1.0, 2.0]).as_subclass(OnGPU)
    found = torch_ref.fetch(Metrics(value, value, value, value))
    assert all(array.tolist() == [1.0, 2.0] for array in found.values())


def test_torch_changes_in_place_and_jax_does_not(tiny):
    config, data = tiny
    batch = Stream(config, data).batch(0)
    jax_gan.select_device("cpu", config)
    before = jax_gan.create(config, data)
    kept = jax_gan.to_numpy(before)
    after, _ = jax_gan.train_step(before, jax_gan.place(batch))
    assert gap(jax_gan.to_numpy(before), kept).error == 0
    assert gap(jax_gan.to_numpy(after), kept).error > 0

    game = torch_ref.create(config, data)
    kept = torch_ref.to_numpy(game)
    same, _ = torch_ref.train_step(game, torch_ref.place(batch))
    assert same is game
    assert gap(torch_ref.to_numpy(game), kept).error > 0


def test_generator_step_leaves_gradients_of_the_discriminator(tiny):
    """As in JAX: G's step does not compute the gradients of D."""
    config, data = tiny
    game = torch_ref.create(config, data)
    batch = torch_ref.place(Stream(config, data).batch(0))
    generator_step(game, batch.generator)
    D = game.discriminator.network
    assert all(parameter.grad is None for parameter in D.parameters())
    assert isinstance(next(D.parameters()), torch.Tensor)
