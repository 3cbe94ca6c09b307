"""Trajectories: recorded, read back, replayed; every damage is named."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import parity_tests
from experiment.errors import InputError
from experiment.recipes import recipe
from experiment.stream import Stream
from parity_tests.__main__ import main
from parity_tests.compare import gap
from parity_tests.conventions import CONVENTIONS
from parity_tests.faults.paper import PAPER
from parity_tests.goldens import (
    FOLDER,
    GOLDENS,
    compare_trajectories,
    rebuild_goldens,
    record_golden,
)
from parity_tests.implementations import Jax, Torch, replay_implementation
from parity_tests.nnx_replay import NNX
from parity_tests.pair import worst_by_kind
from parity_tests.recording import record_recipe
from parity_tests.small import small_config, small_data
from parity_tests.trajectory import load
from parity_tests.twin import flat_batch, nested_batch
from torch_ref.losses import LOSSES

TOLERANCE = 1e-12
IMPLEMENTATIONS = [Torch, Jax, NNX]


def replay(folder, kind):
    return replay_implementation(load(folder), kind)


@pytest.mark.parametrize("kind", IMPLEMENTATIONS, ids=lambda k: k.__name__)
@pytest.mark.parametrize("name", GOLDENS)
def test_replays_the_goldens(name, kind, measured):
    result = replay(FOLDER / name, kind)
    found = worst_by_kind(result)
    measured(found, TOLERANCE)
    assert result.ok
    golden, covered = GOLDENS[name], result.coverage
    assert covered.steps == golden.steps
    assert covered.states == len({*golden.states_at, golden.steps})
    assert len(covered.metrics) == 4
    assert ("statistics" in found) == (name == "dcgan")


def test_goldens_are_what_the_reference_does_today():
    assert {path.name for path in FOLDER.iterdir()} == set(GOLDENS)
    for name, found in rebuild_goldens().items():
        assert found.error <= TOLERANCE, f"{name}: {found}"


def test_goldens_cover_what_they_say():
    configs = [golden.config for golden in GOLDENS.values()]
    assert {config.network for config in configs} == {"mlp", "dcgan"}
    assert {config.loss for config in configs} == LOSSES.keys()
    assert {config.optimizer for config in configs} == {"adam", "sgd"}
    assert {config.k for config in configs} == {1, 2}
    assert any(c.keep_input < 1 and c.keep_hidden < 1 for c in configs)
    assert any(config.decay < 1 for config in configs)


@pytest.mark.parametrize("name", GOLDENS)
def test_training_moved_every_weight(name):
    """A state that stood still would make a replay show nothing."""
    recording = load(FOLDER / name).recording
    before, after = recording.read(0), recording.read(recording.steps)
    for tensor, array in before.items():
        assert np.abs(after[tensor] - array).max() > 0, tensor


def test_recording_twice_gives_the_same_bytes(tmp_path):
    for copy in ("a", "b"):
        record_golden("mlp", tmp_path / copy)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["000000.safetensors", *files[1:-1], "index.json"]
    for name in files:
        ours, theirs = tmp_path / "a" / name, tmp_path / "b" / name
        assert ours.read_bytes() == theirs.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("kind", IMPLEMENTATIONS, ids=lambda k: k.__name__)
def test_full_recipe_round_trip(kind, tmp_path, digits, measured):
    config = recipe("lecture", batch_size=4, precision="float64")
    record_recipe(config, digits(config), 3, tmp_path / "t", states_at=(1,))
    assert load(tmp_path / "t").config == config
    found = worst_by_kind(replay(tmp_path / "t", kind))
    measured(found, TOLERANCE)


def test_adam_is_judged_in_float32(tmp_path, digits):
    """Optax's subtracts b2^t from 1, which loses half of float32's digits."""
    config = recipe("lecture")
    record_recipe(config, digits(config), 10, tmp_path / "t")
    right = replay(tmp_path / "t", Jax)
    assert right.ok, right
    assert not replay(tmp_path / "t", NNX).ok


@pytest.mark.parametrize("kind", [Torch, Jax], ids=lambda k: k.__name__)
def test_simultaneous_round_trip(kind, tmp_path, measured):
    config = small_config(**PAPER)
    record_recipe(config, small_data(), 3, tmp_path / "t", states_at=(1,))
    assert load(tmp_path / "t").config == config
    found = worst_by_kind(replay(tmp_path / "t", kind))
    measured(found, TOLERANCE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "maxout"}, "network 'maxout'"),
        ({"optimizer": "classical-momentum"}, "optimizer 'classical-momentum'"),
        ({"updates": "simultaneous"}, "updates 'simultaneous'"),
    ],
)
def test_nnx_names_what_it_lacks(changes, message, tmp_path):
    record_recipe(small_config(**changes), small_data(), 1, tmp_path / "t")
    with pytest.raises(InputError, match=f"^{message} is not in nnx_gan.py"):
        replay(tmp_path / "t", NNX)


def test_batches_are_those_of_the_stream():
    golden = GOLDENS["mlp"]
    expected = Stream(golden.config, golden.data()).batch(2)
    flat = flat_batch(expected)
    assert {"discriminator/real_masks/input", "generator/masks/hidden_1"} < {
        *flat
    }
    recorded = load(FOLDER / "mlp").recording.read(3)
    assert gap({name: recorded[name] for name in flat}, flat).error == 0
    again = flat_batch(nested_batch(flat))
    assert all(again[name] is flat[name] for name in flat | again)


@pytest.mark.parametrize("side", ["generator", "discriminator"])
def test_gradients_explain_the_moments(side):
    """After one step of Adam from zero, m is (1 - b1) g."""
    config = GOLDENS["dcgan"].config
    trajectory = load(FOLDER / "mlp")
    assert config.b1 == trajectory.config.b1
    after = trajectory.recording.read(1)
    gradients = {
        name.removeprefix(f"gradients/{side}/"): array
        for name, array in after.items()
        if name.startswith(f"gradients/{side}/")
    }
    assert len(gradients) == 6
    for name, gradient in gradients.items():
        m = after[f"state/{side}/optimizer/m/{name}"]
        if side == "generator":
            np.testing.assert_allclose(m, (1 - config.b1) * gradient, 1e-14)
        else:  # of its second step: the first is half forgotten
            v = after[f"state/{side}/optimizer/v/{name}"]
            b1, b2 = config.b1, config.b2
            first = (m / (1 - b1) - gradient) / b1
            expected = (1 - b2) * (b2 * first**2 + gradient**2)
            np.testing.assert_allclose(v, expected, 1e-9, 1e-18)


# Damage. Each changes one thing in a copy of a golden.

KERNEL = "000000/state/generator/params/hidden_1/kernel"
FIRST, THIRD = "000000.safetensors", "000003.safetensors"


def _edit(name, change):
    def damage(folder):
        tensors = load_file(folder / name)
        change(tensors)
        save_file(tensors, folder / name)

    return damage


def _nan(tensors):
    tensors["000003/generator/z"][1, 1] = np.nan


def _infinity(tensors):
    tensors["000003/metrics/generator_loss"][...] = np.inf


def _transpose(tensors):
    tensors[KERNEL] = tensors[KERNEL].T.copy()


def _narrow(tensors):
    tensors[KERNEL] = tensors[KERNEL].astype(np.float32)


def _rename(tensors):
    tensors["000003/generator/noise"] = tensors["000003/generator/z"]


def _last_bit(tensors):
    kernel = tensors[KERNEL]
    kernel[0, 0] = np.nextafter(kernel[0, 0], 1)


def _cut(folder):
    path = folder / THIRD
    path.write_bytes(path.read_bytes()[:-100])


def _empty(folder):
    (folder / THIRD).write_bytes(b"")


def _index(change):
    def damage(folder):
        path = folder / "index.json"
        index = json.loads(path.read_text())
        change(index)
        path.write_text(json.dumps(index))

    return damage


def _hide(index):
    del index["files"][THIRD]["tensors"]["000003/generator/z"]


def _both_narrow(folder):
    """File and index agree on float32 in a float64 trajectory."""
    _edit(FIRST, _narrow)(folder)

    def change(index):
        index["files"][FIRST]["tensors"][KERNEL]["dtype"] = "float32"

    _index(change)(folder)


DAMAGES = {
    "nan": (_edit(THIRD, _nan), ["000003/generator/z", "not finite"]),
    "infinity": (_edit(THIRD, _infinity), ["generator_loss", "not finite"]),
    "missing tensor": (
        _edit(THIRD, lambda t: t.pop("000003/generator/z")),
        [THIRD, "lacks the tensor 000003/generator/z"],
    ),
    "unknown tensor": (
        _edit(THIRD, _rename),
        [THIRD, "not known: 000003/generator/noise"],
    ),
    "transposed kernel": (
        _edit(FIRST, _transpose),
        [KERNEL, "float64[6, 7], not float64[7, 6]"],
    ),
    "float32 leaf": (
        _edit(FIRST, _narrow),
        [KERNEL, "float32[7, 6], not float64[7, 6]"],
    ),
    "float32 leaf, in the index too": (_both_narrow, [KERNEL, "is float32"]),
    "last bit": (_edit(FIRST, _last_bit), [FIRST, "other numbers"]),
    "cut file": (_cut, [THIRD, "damaged"]),
    "empty file": (_empty, [THIRD, "damaged"]),
    "missing file": (lambda f: (f / THIRD).unlink(), [THIRD, "is missing"]),
    "no index": (
        lambda f: (f / "index.json").unlink(),
        ["not a trajectory", "index.json"],
    ),
    "cut index": (
        lambda f: (f / "index.json").write_text('{"schema": '),
        ["index.json", "damaged"],
    ),
    "list for an index": (
        lambda f: (f / "index.json").write_text("[1]"),
        ["index.json", "damaged"],
    ),
    "version": (
        _index(lambda index: index.update(version=2)),
        ["index.json", "version 2", "known: 1"],
    ),
    "schema": (
        _index(lambda index: index.update(schema="cat")),
        ["index.json", "'cat'"],
    ),
    "key": (_index(lambda index: index.pop("states")), ["lacks 'states'"]),
    "config": (
        _index(lambda index: index["config"].update(k=0)),
        ["index.json", "k is 0"],
    ),
    "unknown field": (
        _index(lambda index: index["config"].update(colour=1)),
        ["index.json", "colour"],
    ),
    "states": (
        _index(lambda index: index.update(states=[1, 5, 9])),
        ["index.json", "states is [1, 5, 9]"],
    ),
    "no steps": (
        _index(lambda index: index.update(steps=0, states=[0])),
        ["index.json", "states is [0]"],
    ),
    "precision": (
        _index(lambda index: index.update(precision="float32")),
        ["index.json", "'float32'"],
    ),
    "another learning rate": (
        _index(lambda index: index["config"].update(learning_rate=0.5)),
        ["index.json", "was changed since"],
    ),
    "index hides a tensor": (
        _index(_hide),
        ["index.json", "000003/generator/z is absent"],
    ),
    "index hides a file": (
        _index(lambda index: index["files"].pop(THIRD)),
        ["index.json", f"lacks '{THIRD}'"],
    ),
    "another rate": (
        _index(lambda index: index["config"].update(learning_rate=0.5)),
        ["index.json was changed since it was recorded"],
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_ends_in_one_line_that_names_it(damage, tmp_path, refused):
    plant, parts = DAMAGES[damage]
    folder = tmp_path / "copy"
    shutil.copytree(FOLDER / "mlp", folder)
    load(folder)
    plant(folder)
    with pytest.raises(InputError) as caught:
        load(folder)
    for part in parts:
        assert part in str(caught.value)
    refused(main, ["replay", folder], f"error: {caught.value}\n")


def test_refuses_to_record(tmp_path):
    golden = GOLDENS["lecture"]
    data = golden.data()
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="there exists already"):
        record_recipe(golden.config, data, 1, tmp_path / "there")
    (tmp_path / "cut.partial").mkdir()
    with pytest.raises(InputError, match=r"cut\.partial is left"):
        record_recipe(golden.config, data, 1, tmp_path / "cut")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file"):
        record_recipe(golden.config, data, 1, tmp_path / "file" / "t")
    with pytest.raises(InputError, match="steps is 0"):
        record_recipe(golden.config, data, 0, tmp_path / "new")
    with pytest.raises(InputError, match="states-at has 0"):
        record_recipe(golden.config, data, 1, tmp_path / "new", states_at=(0,))
    with pytest.raises(InputError, match="data is float32"):
        record_recipe(golden.config, data.astype("f"), 1, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_recording_that_stops_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("parity_tests.recorder.structure_of", stop)
    with pytest.raises(KeyboardInterrupt):
        record_golden("lecture", tmp_path / "t")
    assert list(tmp_path.iterdir()) == []


def test_compares_only_the_same_experiment():
    with pytest.raises(InputError, match="different experiments"):
        compare_trajectories(FOLDER / "mlp", FOLDER / "lecture")


# Implementations that are wrong, and those that return what no one can use.


class WrongMomentum(NNX):
    """Another momentum than the config's."""

    def load_state(self, config, state):
        """Builds the game with it."""
        super().load_state({**config, "momentum": 0.51}, state)


class WrongSlope(NNX):
    """Another slope than the config's."""

    def load_state(self, config, state):
        """Builds the game with it."""
        super().load_state({**config, "slope": 0.21}, state)


class BiasedVariance(Torch):
    """The running variance of batch normalisation as Flax has it."""

    def iterate(self, batch):
        """Moves it a little."""
        metrics = super().iterate(batch)
        state = {
            name: array * 0.999 if name.endswith("/var") else array
            for name, array in self.read_state().items()
        }
        self._game = self.twin.from_numpy(self._game, state)
        return metrics


def test_a_wrong_momentum_is_seen():
    result = replay(FOLDER / "lecture", WrongMomentum)
    # From zero the first step has no memory: the moments agree there.
    assert result.first.entry.step > 1
    beyond = {of.kind for of in result.errors if of.excess > 1}
    assert {"metric", "weights", "moments"} == beyond


def test_a_wrong_slope_is_seen_at_once():
    first = replay(FOLDER / "mlp", WrongSlope).first
    assert first.entry.step == 1
    assert first.entry.error > 1e3 * TOLERANCE


def test_wrong_statistics_are_seen_as_such():
    found = worst_by_kind(replay(FOLDER / "dcgan", BiasedVariance))
    assert found["statistics"].error > 1e3 * TOLERANCE
    assert found["statistics"].name.endswith("/var")
    assert max(found["weights"], found["moments"]).error <= TOLERANCE


def _returns(state=None, metrics=None):
    """An implementation that spoils what it returns."""

    class Spoiled(Torch):
        def read_state(self):
            found = super().read_state()
            if state:
                state(found)
            return found

        def iterate(self, batch):
            found = super().iterate(batch)
            if metrics:
                metrics(found)
            return found

    return Spoiled


BIAS = "generator/params/output/bias"
SPOILS = {
    "missing": (
        {"state": lambda s: s.pop(BIAS)},
        r"the reference alone has generator/output/bias \[12\]",
    ),
    "extra": ({"state": lambda s: s.update(x=np.zeros(1))}, "'x' is no name"),
    "shape": (
        {"state": lambda s: s.update({BIAS: s[BIAS][:, None]})},
        r"bias \(weights\) is \[12\] in the reference and \[12, 1\]",
    ),
    "float32": (
        {"state": lambda s: s.update({BIAS: s[BIAS].astype("f")})},
        "float64 in the reference and float32 in the port",
    ),
    "nan": (
        {"state": lambda s: s.update({BIAS: s[BIAS] * np.nan})},
        "does not give back generator/output/bias",
    ),
    "missing metric": (
        {"metrics": lambda m: m.pop("generator_loss")},
        "the reference alone has the metric generator_loss",
    ),
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_what_an_implementation_returns_is_checked(spoil):
    functions, message = SPOILS[spoil]
    with pytest.raises(InputError, match=message) as caught:
        replay(FOLDER / "lecture", _returns(**functions))
    assert "\n" not in str(caught.value)


def test_a_loss_that_is_not_finite_diverges():
    def spoil(metrics):
        metrics["generator_loss"] = float("nan")

    first = replay(FOLDER / "lecture", _returns(metrics=spoil)).first
    assert (first.entry.name, first.entry.error) == ("generator_loss", np.inf)
    assert first.phase == "update of generator"


# The command line.


def test_record_and_replay_commands(tmp_path, capsys):
    folder = tmp_path / "t"
    arguments = ["--steps", "2", "--batch-size", "4", "--seed", "3"]
    arguments += ["--k", "2", "--loss", "hinge", "--optimizer", "sgd"]
    status = main(
        ["record", "--recipe", "lecture", *arguments, "--out", str(folder)]
    )
    assert status == 0
    config = load(folder).config
    assert (config.batch_size, config.seed) == (4, 3)
    assert (config.k, config.loss, config.optimizer) == (2, "hinge", "sgd")
    assert config.precision == "float64"
    capsys.readouterr()
    assert main(["replay", str(folder)]) == 0
    output = capsys.readouterr().out.splitlines()
    scope = "Recipe lecture: loss hinge, optimizer sgd, k 2, learning rate"
    assert output[0].startswith(scope)
    assert output[1].startswith("Compared over 2 steps: arrays: 8 of weights")
    assert "The port agrees with the reference." in output


def test_replay_of_a_wrong_implementation_ends_with_1(capsys):
    status = main(
        [
            "replay",
            str(FOLDER / "mlp"),
            "--implementation",
            f"{__name__}:WrongSlope",
        ]
    )
    assert status == 1
    shown = capsys.readouterr().out
    assert "The port diverges in step 1, update of discriminator" in shown


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no.such.module:A", "No module named 'no'"),
        ("parity_tests.nnx_replay:None_", "no attribute 'None_'"),
        ("parity_tests.nnx_replay", "give module:object"),
        ("parity_tests.nnx_gan:iterate", "without arguments"),
        ("builtins:dict", "no method load_state"),
    ],
)
def test_names_an_implementation_that_is_none(name, message, refused):
    arguments = ["replay", FOLDER / "lecture", "--implementation", name]
    refused(main, arguments, message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["record", "--recipe", "cat", "--steps", "1"], "recipe 'cat'"),
        (["record", "--steps", "0"], "steps is 0"),
        (["record", "--steps", "1", "--data", "cat"], "data 'cat'"),
        (["record", "--steps", "1", "--precision", "half"], "'half'"),
        (["record", "--steps", "1", "--batch-size", "0"], "batch-size is 0"),
    ],
)
def test_record_names_a_bad_value(arguments, message, tmp_path, refused):
    folder = tmp_path / "t"
    refused(main, [*arguments, "--out", folder], message)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("name", "other"), [("Jax", "torch"), ("Torch", "jax"), ("NNX", "torch")]
)
def test_replays_where_the_other_framework_is_not_installed(name, other):
    module = "nnx_replay" if name == "NNX" else "implementations"
    arguments = ["replay", str(FOLDER / "mlp"), "--implementation"]
    arguments.append(f"parity_tests.{module}:{name}")
    program = (
        f"import sys; sys.modules[{other!r}] = None\n"  # import then fails
        "from parity_tests.__main__ import main\n"
        f"sys.exit(main({arguments!r}))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "The port agrees" in done.stdout


def test_the_module_runs():
    """Its status and one line of stderr reach the shell."""
    command = [sys.executable, "-m", "parity_tests", "replay"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_the_format_is_explained_as_in_the_index():
    page = Path(parity_tests.__file__).with_name("FORMAT.md").read_text()
    text = " ".join(page.split())
    for name, convention in CONVENTIONS.items():
        assert f"- **{name}**: {' '.join(convention.split())}" in text
