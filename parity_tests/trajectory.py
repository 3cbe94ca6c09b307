"""Trajectories: the reference's steps on disk, for anyone to replay.

A trajectory is a folder: ``index.json`` says in words and equations what was
computed, and one safetensors file for each iteration of Algorithm 1 holds the
numbers. ``NNNNNN`` counts iterations from 1; 0 is the game before the first.

index.json          schema, config, conventions, every tensor's shape
000000.safetensors  000000/state/...
000001.safetensors  000001/discriminator/x, z, real_masks/*, fake_masks/*
                    000001/generator/z, masks/* (not of simultaneous updates)
                    000001/metrics/discriminator_loss and three more
                    000001/state/..., gradients/..., at chosen iterations

Whoever writes this GAN once more, in any framework, fits it to the protocol
``Implementation``; ``replay`` drives it and measures how far it is from the
reference. ``parity_tests.nnx_replay`` is an example.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors

from experiment.config import Config, InputError
from experiment.stream import mask_units
from parity_tests.compare import Account, Arrays, Gap, by_kind, gap

SCHEMA, VERSION = "gan-trajectory", 1
SIDES = ("generator", "discriminator")
METRICS = (
    "discriminator_loss",
    "real_probability",
    "fake_probability",
    "generator_loss",
)

# What the numbers mean, for a reader who has the folder and nothing else.
CONVENTIONS = {
    "config": "the fields of the recipe, and sample_shape, the shape of one "
    "example; m is batch_size, n is noise_size. data, seed, noise, "
    "initializer, scales and biases say where the recorded numbers came from: "
    "a replay does not need them",
    "order": "by config's updates. alternating: one iteration is k steps of "
    "D, then one step of G. Step i of D: "
    "fake = G(z[i]), no gradient; real_logits = D(x[i], real_masks[i]); "
    "fake_logits = D(fake, fake_masks[i]); one step of D's optimizer. Step of "
    "G: fake_logits = D(G(z), masks); one step of G's optimizer. Every call "
    "is in training mode, so each moves the running statistics of its "
    "network. simultaneous: x, z and masks have no axis of k, and G has no "
    "batch of its own: fake = G(z); real_logits = D(x, real_masks); "
    "fake_logits = D(fake, fake_masks), each once; the gradients of D's and of "
    "G's loss, both at the old weights; then one step of each optimizer",
    "discriminator loss": "by config's loss. saturating and non-saturating: "
    "-mean log sigmoid(real_logits) - mean log sigmoid(-fake_logits), half of "
    "it where updates is simultaneous; hinge: mean relu(1 - real_logits) + "
    "mean relu(1 + fake_logits); least-squares: mean (real_logits - 1)^2 / 2 + "
    "mean fake_logits^2 / 2",
    "generator loss": "saturating: mean log sigmoid(-fake_logits); "
    "non-saturating: -mean log sigmoid(fake_logits); hinge: -mean "
    "fake_logits; least-squares: mean (fake_logits - 1)^2 / 2",
    "metrics": "discriminator_loss; real_probability, the mean of "
    "probability(real_logits); fake_probability, the mean of "
    "probability(fake_logits); all of the last of the k steps, before its "
    "update; generator_loss, before its update. probability(a): sigmoid(a); "
    "hinge: 1 where a > 0, else 0; least-squares: a",
    "network mlp": "G: relu(hidden_i(h)) for each layer from z, then "
    "output_function(output(h)), reshaped to sample_shape; "
    "D: h = x, flat, times its mask input; h = leaky_relu(hidden_i(h)) times "
    "its mask hidden_i, for each layer; logit = output(h)",
    "network maxout": "G: that of mlp; D: that of mlp with maxout(hidden_i(h)) "
    "in place of leaky_relu. maxout: unit u is the largest of h[pieces u] to "
    "h[pieces u + pieces - 1]; pieces that tie for the largest share its "
    "gradient equally",
    "network dcgan": "G: relu(norm_0(project(z) as [m, side, side, c])), "
    "for i = 0, 1, ...: relu(norm_(i + 1)(upsample_i(h))), then "
    "output_function(output(h)), where upsample_i and output are transposed "
    "convolutions; D: leaky_relu(input(x)), for i: "
    "leaky_relu(norm_i(downsample_i(h))), then h is flat, for each of config's "
    "discriminator_dense (none where it is missing): leaky_relu(dense_i(h)), "
    "logit = output(h), where input and downsample_i are convolutions",
    "output_function": "config's output: sigmoid, tanh, or linear (none)",
    "leaky_relu": "h where h > 0, else slope h; its derivative at 0 is slope. "
    "The derivative of relu at 0 is 0",
    "masks": "0 or 1/keep: multiply, nothing else. No mask, no dropout",
    "images": "[m, height, width, channels]; flat is row-major in this order",
    "dense": "h kernel + bias; kernel is [in, out]",
    "convolution": "cross-correlation, kernel 4, stride 2, padding 1: "
    "y[p] = bias + sum over taps a of x[2p + a - 1] kernel[a]; kernel is "
    "[height, width, in, out]",
    "transposed convolution": "y[2p + a - 1] += x[p] kernel[a] for each tap "
    "a, plus bias: the gradient of a convolution with regard to its input; "
    "kernel is [height, width, out, in]",
    "batch norm": "over all axes but the last: scale (h - mean) / sqrt(var + "
    "1e-5) + bias, with mean and biased var (divided by N) of this batch; "
    "then running mean += 0.1 (mean - running mean), running var += 0.1 "
    "(var N / (N - 1) - running var)",
    "adam": "m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, p = p - rate "
    "(m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + 1e-8), t counts from 1",
    "sgd": "momentum = config's momentum times momentum + g, p = p - rate "
    "momentum; with momentum 0 it keeps none: p = p - rate g",
    "classical-momentum": "velocity = mu velocity - rate g, p = p + velocity; "
    "mu = momentum + (final_momentum - momentum) min(t // epoch_steps, r) / r, "
    "r = saturation_epoch - 1",
    "rate": "max(learning_rate decay^t, min_learning_rate) for D, the same "
    "with generator_learning_rate (learning_rate where it is null) for G. t = "
    "n // k for D, n for G, with integer division; n counts this player's "
    "steps from 0",
    "state": "side/params/layer/kernel, bias or scale; "
    "side/statistics/layer/mean or var; side/optimizer/m, v, "
    "momentum or velocity/layer/...; side/optimizer/step, the steps taken, "
    "int32",
    "gradients": "side/layer/...: what the optimizer was last given in this "
    "iteration (for D, in the last of its k steps)",
    "files": "six digits and .safetensors for each iteration; tensors are "
    "named by the same six digits",
}


class Row(NamedTuple):
    """One comparison of a replay: after which iteration, of what, how far."""

    step: int
    kind: str  # metrics, weights, moments or statistics
    gap: Gap


class Implementation(Protocol):
    """This GAN, written by anyone in anything, as ``replay`` drives it.

    All arrays are NumPy's, in the trajectory's precision.
    """

    def load_state(
        self, config: dict[str, Any], state: dict[str, NDArray]
    ) -> None:
        """Builds the game and gives it this state.

        Args:
            config: the fields of the recipe, and ``sample_shape``.
            state: weights, statistics and moments under the names, and in
                the layouts, that index.json explains.
        """

    def iterate(self, batch: dict[str, NDArray]) -> dict[str, float]:
        """One iteration of Algorithm 1: k steps of D, one of G.

        Args:
            batch: ``discriminator/x`` [k, m, ...], ``discriminator/z``
                [k, m, n], ``discriminator/real_masks/*`` and
                ``fake_masks/*`` [k, m, units], ``generator/z`` [m, n],
                ``generator/masks/*`` [m, units]. Where the config's updates
                is simultaneous: no axis of k, nothing of the generator.

        Returns:
            The four metrics by name.
        """

    def read_state(self) -> dict[str, NDArray]:
        """The state now, under the names that ``load_state`` was given."""


Layout = dict[str, tuple[str, tuple[int, ...]]]  # dtype and shape, by name


@dataclass(frozen=True)
class Trajectory:
    """A recorded trajectory, each file of which ``load`` has verified.

    Attributes:
        folder: where it is.
        config: the experiment.
        sample_shape: the shape of one example.
        steps: iterations.
        states: iterations after which state and gradients were recorded.
        layouts: the tensors of each file, without the leading digits.
        digests: SHA-256 of each file.
    """

    folder: Path
    config: Config
    sample_shape: tuple[int, ...]
    steps: int
    states: tuple[int, ...]
    layouts: tuple[Layout, ...]
    digests: tuple[str, ...]

    @property
    def portable_config(self) -> dict[str, Any]:
        """The config as an ``Implementation`` gets it."""
        return {**asdict(self.config), "sample_shape": self.sample_shape}

    def read(self, step: int) -> dict[str, NDArray]:
        """The tensors of an iteration, without the leading digits.

        Raises:
            InputError: names the file, and the tensor that is not what the
                index says.
        """
        path = self.folder / file_name(step)
        try:
            content = path.read_bytes()
            tensors = parse_tensors(content)
        except FileNotFoundError as error:
            raise InputError(f"{path} is missing: record it anew") from error
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise InputError(
                f"{path} is damaged ({_line(error)}): record it anew"
            ) from error
        wanted = prefixed(f"{step:06d}/", self.layouts[step])
        _verify(str(path), tensors, wanted)
        if hashlib.sha256(content).hexdigest() != self.digests[step]:
            raise InputError(
                f"{path} has other numbers than were recorded (its SHA-256 is "
                "not that of the index): record it anew"
            )
        return _part(f"{step:06d}/", tensors)


def load(folder: Path) -> Trajectory:
    """A trajectory, after every number in it was verified.

    Raises:
        InputError: the index is damaged or of another version; a file or a
            tensor is missing, unknown, of another shape or precision, not
            finite, or changed since it was recorded. The message names it.
    """
    path = folder / "index.json"
    try:
        index = json.loads(path.read_text())
        schema, version = index.get("schema"), index.get("version")
        if schema != SCHEMA:
            raise InputError(f"{path} has schema {schema!r}, not {SCHEMA!r}")
        if version != VERSION:
            raise InputError(
                f"{path} has version {version!r} of {SCHEMA}; known: "
                f"{VERSION}: record it anew"
            )
        trajectory = _from_index(folder, index)
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} is not a trajectory: it has no index.json"
        ) from error
    except InputError:
        raise
    except KeyError as error:
        raise InputError(f"{path} lacks {error}: record it anew") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is damaged ({_line(error)}): record it anew"
        ) from error
    for step in range(trajectory.steps + 1):
        trajectory.read(step)
    return trajectory


def _from_index(folder: Path, index: dict[str, Any]) -> Trajectory:
    """The trajectory of an index; verifies that it is whole.

    The config gives the shapes of batches, the initial state those of later
    states and of gradients.
    """
    path = folder / "index.json"
    values = dict(index["config"])
    sample_shape = tuple(values.pop("sample_shape"))
    try:
        config = config_from(values)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if index["precision"] != config.precision:
        raise InputError(
            f"{path}: precision is {index['precision']!r}, that of its config "
            f"{config.precision!r}"
        )
    steps, states = int(index["steps"]), tuple(map(int, index["states"]))
    files, layouts = index["files"], []
    for step in range(steps + 1):
        tensors = files[file_name(step)]["tensors"]
        layout = {
            name: (str(value["dtype"]), tuple(value["shape"]))
            for name, value in tensors.items()
        }
        layouts.append(_part(f"{step:06d}/", layout))
    if list(states) != sorted(set(states) | {steps}) or not (
        states[0] >= 1 and states[-1] == steps
    ):
        raise InputError(
            f"{path}: states is {list(states)}: it must rise from 1 or more to "
            f"steps, {steps}"
        )
    initial = {
        name: (_dtype(name, config), shape)
        for name, (_, shape) in _part("state/", layouts[0]).items()
    }
    wanted = prefixed("state/", initial)
    for side in SIDES:
        params = _part(f"{side}/params/", initial)
        wanted |= prefixed(f"gradients/{side}/", params)
    every = _iteration_layout(config, sample_shape)
    _verify_layout(path, 0, layouts[0], prefixed("state/", initial))
    for step in range(1, steps + 1):
        expected = every | (wanted if step in states else {})
        _verify_layout(path, step, layouts[step], expected)
    digests = [files[file_name(step)]["sha256"] for step in range(steps + 1)]
    return Trajectory(
        folder,
        config,
        sample_shape,
        steps,
        states,
        tuple(layouts),
        tuple(digests),
    )


def config_from(values: Mapping[str, Any]) -> Config:
    """The Config of an index, whose lists were tuples; not sample_shape.

    Raises:
        InputError: a field is unknown or its value invalid.
    """
    fields: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if name != "sample_shape"
    }
    try:
        return Config(**fields)
    except TypeError as error:
        raise InputError(f"config: {_line(error)}") from error


def _iteration_layout(config: Config, sample_shape: tuple[int, ...]) -> Layout:
    """What an iteration's file holds whether or not it holds a state."""
    m, n = config.batch_size, config.noise_size
    alternating = config.updates == "alternating"
    km = (config.k, m) if alternating else (m,)
    shapes: dict[str, tuple[int, ...]] = {
        "discriminator/x": (*km, *sample_shape),
        "discriminator/z": (*km, n),
    }
    if alternating:
        shapes["generator/z"] = (m, n)
    masks = mask_units(config, prod(sample_shape))
    for name, (units, _) in masks.items():
        shapes[f"discriminator/real_masks/{name}"] = (*km, units)
        shapes[f"discriminator/fake_masks/{name}"] = (*km, units)
        if alternating:
            shapes[f"generator/masks/{name}"] = (m, units)
    for name in METRICS:
        shapes[f"metrics/{name}"] = ()
    return {name: (config.precision, shape) for name, shape in shapes.items()}


def _verify_layout(
    path: Path, step: int, found: Layout, wanted: Layout
) -> None:
    for name in sorted(wanted.keys() | found.keys()):
        if found.get(name) != wanted.get(name):
            raise InputError(
                f"{path}: {step:06d}/{name} is {_shown(found.get(name))}; the "
                f"config needs {_shown(wanted.get(name))}"
            )


def _verify(
    whose: str, found: Mapping[str, NDArray], wanted: Mapping[str, Any]
) -> None:
    """Holds tensors against names, types and shapes; they must be finite."""
    for name in sorted(wanted.keys() - found.keys()):
        raise InputError(f"{whose} lacks the tensor {name}")
    for name in sorted(found.keys() - wanted.keys()):
        raise InputError(f"{whose} has a tensor that is not known: {name}")
    for name, array in found.items():
        layout = str(array.dtype), array.shape
        if layout != wanted[name]:
            raise InputError(
                f"{whose}: {name} is {_shown(layout)}, not "
                f"{_shown(wanted[name])}"
            )
        if not np.isfinite(array).all():
            raise InputError(
                f"{whose}: {name} holds a number that is not finite"
            )


def drive(
    folder: Path, implementation: Implementation
) -> Iterator[tuple[int, Account, Account]]:
    """Drives an implementation through a trajectory, step by step.

    It starts from the recorded initial state and is never corrected.

    Yields:
        The number of each iteration, and what it left behind in the
        implementation and in the reference: metrics, and the state where one
        was recorded. The protocol has no gradients.

    Raises:
        InputError: the trajectory is damaged, or what the implementation
            returned lacks a name, or has one too many, another shape or
            precision, or a number that is not finite.
    """
    trajectory = load(folder)
    dtype = trajectory.config.dtype
    initial = _part("state/", trajectory.read(0))
    implementation.load_state(trajectory.portable_config, initial)
    for step in range(1, trajectory.steps + 1):
        recorded = trajectory.read(step)
        batch = {
            f"{side}/{name}": array
            for side in SIDES
            for name, array in _part(f"{side}/", recorded).items()
        }
        metrics = {
            # A Python float has no precision of its own.
            name: np.array(value, dtype if type(value) is float else None)
            for name, value in implementation.iterate(batch).items()
        }
        theirs = Account(
            _part("metrics/", recorded), {}, _part("state/", recorded)
        )
        state: Arrays = {}
        if theirs.state:
            after = implementation.read_state()
            state = {name: np.array(array) for name, array in after.items()}
        ours = Account(metrics, {}, state)
        for found, wanted in zip(ours, theirs, strict=True):
            layouts = {k: (str(a.dtype), a.shape) for k, a in wanted.items()}
            _verify(f"the implementation, iteration {step}", found, layouts)
        yield step, ours, theirs


def replay(folder: Path, implementation: Implementation) -> list[Row]:
    """How far an implementation is from the reference, step by step.

    Returns:
        The gap of the metrics after every iteration, and those of weights,
        moments and statistics where they were recorded.

    Raises:
        InputError: as ``drive``.
    """
    rows = []
    for step, ours, theirs in drive(folder, implementation):
        found = {"metrics": gap(ours.metrics, theirs.metrics)}
        found |= by_kind(ours.state, theirs.state)
        rows += [Row(step, kind, value) for kind, value in found.items()]
    return rows


def _dtype(name: str, config: Config) -> str:
    return "int32" if name.endswith("/optimizer/step") else config.precision


def file_name(step: int) -> str:
    """The file of an iteration; 0 is the game before the first."""
    return f"{step:06d}.safetensors"


def prefixed(prefix: str, items: Mapping[str, Any]) -> dict[str, Any]:
    """The items with the prefix before each name."""
    return {f"{prefix}{name}": item for name, item in items.items()}


def _part(prefix: str, items: Mapping[str, Any]) -> dict[str, Any]:
    """The items whose names start with the prefix, without it."""
    return {
        name.removeprefix(prefix): item
        for name, item in items.items()
        if name.startswith(prefix)
    }


def _shown(layout: tuple[str, tuple[int, ...]] | None) -> str:
    return f"{layout[0]}{list(layout[1])}" if layout else "absent"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
