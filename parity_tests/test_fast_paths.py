"""Every variant of a run, against the plain step of the same framework."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax import random

import jax_gan
import torch_ref
from experiment.errors import InputError
from experiment.stream import Stream, slices, stack
from jax_gan.sample import sample_batch
from parity_tests.compare import gap
from parity_tests.faults.paper import PAPER
from parity_tests.small import small_config, small_data
from parity_tests.tape import capture_tape
from torch_ref.graphs import graph_train
from torch_ref.sample import sample_batch as sample_batch_of_torch
from torch_ref.sample import train_in_pieces

STEPS = 10
TOLERANCE = 1e-12
DATA = small_data()
CONFIGS = {
    "mlp": small_config(k=2, keep_input=0.8),
    "dcgan": small_config(
        network="dcgan",
        generator_hidden=(8, 4),
        discriminator_hidden=(4, 8),
        discriminator_dense=(6,),
        keep_hidden=1.0,
        output_bias="constant",
    ),
    "paper": small_config(**PAPER),
}
GAMES = pytest.mark.parametrize("name", CONFIGS)
TWINS = pytest.mark.parametrize(
    "twin", [jax_gan, torch_ref], ids=lambda twin: twin.__name__
)


@GAMES
@TWINS
def test_train_is_train_step_repeated(twin, name, measured):
    """In JAX: the scan with donated buffers, against one jitted step."""
    config, game = _created(twin, name)
    stream = Stream(config, DATA)
    batches = map(stream.batch, range(STEPS))
    expected = _step_by_step(twin, game, map(twin.place, batches))

    _, again = _created(twin, name)
    batches = twin.place(stream.batches(0, STEPS))
    found = gap(_arrays(twin, *twin.train(again, batches)), expected)
    measured({"train": found}, TOLERANCE)


def test_train_donates():
    """The state of a run lies in memory once, not twice."""
    config, game = _created(jax_gan, "mlp")
    batches = jax_gan.place(Stream(config, DATA).batches(0, 2))
    jax_gan.train(game, batches)
    kernel = game.generator.params["hidden_0"]["kernel"]
    assert kernel.is_deleted()


@GAMES
def test_device_stream_of_jax(name, measured):
    config, game = _created(jax_gan, name)
    data, key = jnp.array(DATA), random.key(config.seed, impl="rbg")
    keys = [random.fold_in(key, 3 + i) for i in range(STEPS)]
    draw = jax.jit(lambda key: sample_batch(config, data, key))
    expected = _step_by_step(jax_gan, game, map(draw, keys))

    _, again = _created(jax_gan, name)
    run = jax_gan.device_stream(config, DATA)
    found = gap(_arrays(jax_gan, *run(again, 3, STEPS)), expected)
    measured({"device_stream": found}, TOLERANCE)


@GAMES
def test_device_stream_of_torch(name, measured):
    config, game = _created(torch_ref, name)
    data, rng = torch.tensor(DATA), torch.Generator()

    def draw(step):
        rng.manual_seed((config.seed * 0x9E3779B1 + step) % 2**32)
        return sample_batch_of_torch(config, data, rng)

    expected = _step_by_step(torch_ref, game, map(draw, range(3, 3 + STEPS)))
    _, again = _created(torch_ref, name)
    run = torch_ref.device_stream(config, DATA)
    found = gap(_arrays(torch_ref, *run(again, 3, STEPS)), expected)
    measured({"device_stream": found}, 0)


@GAMES
def test_device_stream_of_torch_on_a_gpu(name, measured):
    """As a GPU trains it, by a tape in place of a CUDA graph."""
    config, game = _created(torch_ref, name)
    expected = _arrays(
        torch_ref, *torch_ref.device_stream(config, DATA)(game, 3, 25)
    )
    _, again = _created(torch_ref, name)
    data, rng = torch.tensor(DATA), torch.Generator()

    def draw(step):
        rng.manual_seed((config.seed * 0x9E3779B1 + step) % 2**32)
        return sample_batch_of_torch(config, data, rng)

    graph = graph_train(torch_ref.train, 10, capture_tape)
    run = train_in_pieces(draw, graph)
    found = gap(_arrays(torch_ref, *run(again, 3, 25)), expected)
    measured({"device_stream": found}, 0)


# In JAX the variant of a CPU, and that of all else.
SEEDS = {
    "jax_gan": (jax_gan, jax_gan.train_seeds),
    "jax_gan by vmap": (jax_gan, jax.jit(jax.vmap(jax_gan.train))),
    "torch_ref": (torch_ref, torch_ref.train_seeds),
}


@pytest.mark.parametrize(
    ("form", "name"),
    [
        pytest.param(
            form,
            name,
            # Its gradients by vmap are the slowest to compile.
            marks=pytest.mark.slow
            if form != "torch_ref" and name == "dcgan"
            else (),
        )
        for form in SEEDS
        for name in CONFIGS
    ],
)
def test_seeds(form, name, measured):
    """Three games in one program, each as it is alone."""
    twin, train_seeds = SEEDS[form]
    seeds, runs, expected = range(3), [], {}
    for seed in seeds:
        config, drawn = _created(twin, name, seed=seed)
        runs.append(Stream(config, DATA).batches(0, STEPS))
        # In a game of the first seed's config: one program serves all.
        game = twin.from_numpy(_created(twin, name)[1], twin.to_numpy(drawn))
        game, _ = twin.train(game, twin.place(runs[-1]))
        expected |= _prefixed(seed, twin.to_numpy(game))

    games = [_created(twin, name, seed=seed)[1] for seed in seeds]
    stacked = twin.stack_games(games)
    stacked, _ = train_seeds(stacked, twin.place(stack(runs)))
    if twin is jax_gan:  # PyTorch's share their memory with the stack
        games = [
            jax.tree.map(lambda leaf, i=i: leaf[i], stacked) for i in seeds
        ]
    ours = {}
    for seed, game in enumerate(games):
        ours |= _prefixed(seed, twin.to_numpy(game))
    found = gap(ours, expected)
    measured({"seeds": found}, TOLERANCE)
    assert gap(*map(twin.to_numpy, games[:2])).error > 1e-3


@pytest.mark.parametrize(
    ("name", "form"),
    [
        pytest.param(
            name,
            form,
            # Ten iterations of it take half a minute to compile.
            marks=pytest.mark.slow
            if form == "unroll-10" and name != "mlp"
            else (),
        )
        for name in CONFIGS
        for form in ("step", "unroll-10", "flat")
    ],
)
def test_forms_of_jax(name, form, measured):
    found = _of_form(jax_gan, name, form, STEPS)
    measured({form: found}, TOLERANCE)


# Learning rate and momentum that vary within the iterations of one graph.
MOVING = {
    "mlp": {"decay": 0.9},
    "dcgan": {"decay": 0.9},
    "paper": {"decay": 0.9, "epoch_steps": 3, "saturation_epoch": 3},
}


@pytest.mark.slow
@pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))),
    reason="torch.compile writes C++ and finds no compiler",
)
@GAMES
def test_torch_compile(name, measured):
    found = _of_form(torch_ref, name, "compile", 100, **MOVING[name])
    measured({"compiled": found}, TOLERANCE)


@pytest.mark.parametrize("iterations", [1, 4])
@pytest.mark.parametrize("name", MOVING)
def test_graphs(name, iterations, measured):
    """On a CPU, by a tape of the operations in place of a CUDA graph."""

    def form(_):
        return graph_train(torch_ref.train, iterations, capture_tape)

    found = _of_form(torch_ref, name, form, 100, **MOVING[name])
    measured({"graph": found}, TOLERANCE)


def test_graph_of_a_rate_that_is_no_tensor():
    """The tape shows it: Python's numbers stay as they were recorded."""

    def form(game):
        for player in (game.generator, game.discriminator):
            group = player.optimizer.param_groups[0]
            group["lr"] = float(group["lr"])
            hooks = player.optimizer._optimizer_step_pre_hooks
            hooks.pop(min(hooks))  # what sets the rate

        return graph_train(torch_ref.train, 4, capture_tape)

    assert _of_form(torch_ref, "mlp", form, STEPS, decay=0.9).error > 1e-6


@pytest.mark.parametrize(
    "form", ["graph", "graph-10", "compile-graph-10", "reduce-overhead"]
)
def test_forms_of_gpus_on_a_cpu(form):
    _, game = _created(torch_ref, "mlp")
    with pytest.raises(InputError, match="for GPUs"):
        torch_ref.VARIANTS[form](game)


@pytest.mark.parametrize("on_gpu", [False, True])
def test_the_fastest_form_where_the_game_is(on_gpu):
    _, game = _created(torch_ref, "mlp")
    network = SimpleNamespace(
        parameters=lambda: iter([SimpleNamespace(is_cuda=on_gpu)])
    )
    placed = replace(game, generator=replace(game.generator, network=network))
    form = torch_ref.VARIANTS["auto"](placed)
    assert (form is torch_ref.train) == (not on_gpu)


def _of_form(twin, name, form, steps, **changes):
    """The error of a variant of a run against the plain step, repeated."""
    config, game = _created(twin, name, **changes)
    batches = Stream(config, DATA).batches(0, steps)
    expected = _step_by_step(twin, game, slices(twin.place(batches)))
    _, again = _created(twin, name, **changes)
    run = (twin.VARIANTS[form] if isinstance(form, str) else form)(again)
    return gap(_arrays(twin, *run(again, twin.place(batches))), expected)


def _prefixed(seed, arrays):
    return {f"{seed}/{name}": array for name, array in arrays.items()}


def _created(twin, name, **changes):
    config = replace(CONFIGS[name], **changes)
    twin.select_device("cpu", config)
    return config, twin.create(config, DATA)


def _step_by_step(twin, game, batches, step=None):
    step, rows = step or type(game).step, []
    for batch in batches:
        game, metrics = step(game, batch)
        rows.append([np.asarray(value) for value in metrics])
    columns = map(np.stack, zip(*rows, strict=True))
    return _arrays(twin, game, type(metrics)(*columns))


def _arrays(twin, game, metrics):
    """All that a run leaves behind."""
    history = {k: np.asarray(v) for k, v in metrics._asdict().items()}
    return twin.to_numpy(game) | history
