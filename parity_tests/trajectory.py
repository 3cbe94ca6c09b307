"""Trajectories: the reference's steps on disk, for anyone to replay.

FORMAT.md describes the folder; ``replay`` drives an implementation through it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors

from experiment.config import Config
from experiment.errors import InputError
from experiment.stream import mask_units

SCHEMA, VERSION = "gan-trajectory", 1
SIDES = ("generator", "discriminator")
METRICS = (
    "discriminator_loss",
    "real_probability",
    "fake_probability",
    "generator_loss",
)

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
            raise InputError(f"{path} is missing: record it again") from error
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise InputError(
                f"{path} is damaged ({_line(error)}): record it again"
            ) from error
        wanted = prefixed(f"{step:06d}/", self.layouts[step])
        verify_tensors(str(path), tensors, wanted)
        if hashlib.sha256(content).hexdigest() != self.digests[step]:
            raise InputError(
                f"{path} has other numbers than were recorded (its SHA-256 is "
                "not that of the index): record it again"
            )
        return part_of(f"{step:06d}/", tensors)


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
                f"{VERSION}: record it again"
            )
        trajectory = _from_index(folder, index)
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} is not a trajectory: it has no index.json"
        ) from error
    except InputError:
        raise
    except KeyError as error:
        raise InputError(f"{path} lacks {error}: record it again") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is damaged ({_line(error)}): record it again"
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
        layouts.append(part_of(f"{step:06d}/", layout))
    if list(states) != sorted(set(states) | {steps}) or not (
        states[0] >= 1 and states[-1] == steps
    ):
        raise InputError(
            f"{path}: states is {list(states)}: it must rise from 1 or more to "
            f"steps, {steps}"
        )
    initial = {
        name: (_dtype(name, config), shape)
        for name, (_, shape) in part_of("state/", layouts[0]).items()
    }
    wanted = prefixed("state/", initial)
    for side in SIDES:
        params = part_of(f"{side}/params/", initial)
        wanted |= prefixed(f"gradients/{side}/", params)
    every = _iteration_layout(config, sample_shape)
    _verify_layout(path, 0, layouts[0], prefixed("state/", initial))
    for step in range(1, steps + 1):
        expected = every | (wanted if step in states else {})
        _verify_layout(path, step, layouts[step], expected)
    digests = [files[file_name(step)]["sha256"] for step in range(steps + 1)]
    # Not of earlier recordings.
    if index.get("sha256", digest := index_digest(index)) != digest:
        raise InputError(
            f"{path} has other entries than were recorded (its SHA-256 "
            "differs): record it again"
        )
    return Trajectory(
        folder,
        config,
        sample_shape,
        steps,
        states,
        tuple(layouts),
        tuple(digests),
    )


def index_digest(index: Mapping[str, Any]) -> str:
    """The SHA-256 of all entries but ``sha256``, as JSON with sorted names."""
    entries = {k: v for k, v in index.items() if k != "sha256"}
    text = json.dumps(entries, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


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


def verify_tensors(
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


def _dtype(name: str, config: Config) -> str:
    return "int32" if name.endswith("/optimizer/step") else config.precision


def file_name(step: int) -> str:
    """The file of an iteration; 0 is the game before the first."""
    return f"{step:06d}.safetensors"


def prefixed(prefix: str, items: Mapping[str, Any]) -> dict[str, Any]:
    """The items with the prefix before each name."""
    return {f"{prefix}{name}": item for name, item in items.items()}


def part_of(prefix: str, items: Mapping[str, Any]) -> dict[str, Any]:
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
