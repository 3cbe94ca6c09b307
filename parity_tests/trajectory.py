"""Trajectories: recordings of this project's GAN, whose config is known.

FORMAT.md describes the folder.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

from experiment.config import Config
from experiment.errors import InputError
from experiment.stream import mask_units
from parity_tests.container import (
    GAN,
    Layout,
    Recording,
    load_recording,
    one_line,
    part_of,
    prefixed,
    shown,
)
from parity_tests.twin import METRICS, PLAYERS


@dataclass(frozen=True)
class Trajectory:
    """A recorded trajectory, each file of which ``load`` has verified.

    Attributes:
        recording: its numbers.
        config: the experiment.
        sample_shape: the shape of one example.
    """

    recording: Recording
    config: Config
    sample_shape: tuple[int, ...]

    @property
    def portable_config(self) -> dict[str, Any]:
        """The config as an ``Implementation`` gets it."""
        return {**asdict(self.config), "sample_shape": self.sample_shape}


def load(folder: Path) -> Trajectory:
    """A trajectory, after every number in it was verified.

    Raises:
        InputError: as ``load_recording``; or the config does not fit the
            tensors, or is not of this project.
    """
    return trajectory_of(load_any(folder))


def load_any(folder: Path) -> Recording:
    """A recording, of this project's GAN or not.

    Raises:
        InputError: as ``load_recording``; or it is of this project, and its
            config does not fit its tensors.
    """
    return load_recording(folder, _verify)


def trajectory_of(recording: Recording) -> Trajectory:
    """A recording as one of this project's GAN.

    Raises:
        InputError: it is not.
    """
    if recording.index["schema"] != GAN:
        raise InputError(
            f"{recording.folder} is a recording of another training step, not "
            "of this project's GAN"
        )
    return Trajectory(recording, *_config_of(recording))


def describe_config(config: Config) -> str:
    """What a comparison of this experiment covers, on one line.

    Example:
        >>> describe_config(Config(k=2))[:46]
        'Recipe mlp: loss non-saturating, optimizer ada'
    """
    rates = f"learning rate {config.learning_rate:g}"
    if config.generator_learning_rate is not None:
        rates += f" (of G {config.generator_learning_rate:g})"
    return (
        f"Recipe {config.recipe}: loss {config.loss}, optimizer "
        f"{config.optimizer}, k {config.k}, {rates}, decay {config.decay:g}, "
        f"network {config.network}, updates {config.updates}, "
        f"{config.precision}"
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
        raise InputError(f"config: {one_line(error)}") from error


def _config_of(recording: Recording) -> tuple[Config, tuple[int, ...]]:
    values = recording.index["config"]
    return config_from(values), tuple(values["sample_shape"])


def _verify(recording: Recording) -> None:
    """Verifies that the tensors of a trajectory are those of its config.

    The config gives the shapes of batches, the initial state those of later
    states and of gradients.
    """
    if recording.index["schema"] != GAN:
        return
    path = recording.folder / "index.json"
    try:
        config, sample_shape = _config_of(recording)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    precision = recording.index["precision"]
    if precision != config.precision:
        raise InputError(
            f"{path}: precision is {precision!r}, that of its config "
            f"{config.precision!r}"
        )
    layouts = recording.layouts
    initial = {
        name: (_dtype(name, config), shape)
        for name, (_, shape) in part_of("state/", layouts[0]).items()
    }
    wanted = prefixed("state/", initial)
    for player in PLAYERS:
        params = part_of(f"{player}/params/", initial)
        wanted |= prefixed(f"gradients/{player}/", params)
    every = _iteration_layout(config, sample_shape)
    _verify_layout(path, 0, layouts[0], prefixed("state/", initial))
    for step in range(1, recording.steps + 1):
        expected = every | (wanted if step in recording.states else {})
        _verify_layout(path, step, layouts[step], expected)


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
                f"{path}: {step:06d}/{name} is {shown(found.get(name))}; the "
                f"config needs {shown(wanted.get(name))}"
            )


def _dtype(name: str, config: Config) -> str:
    return "int32" if name.endswith("/optimizer/step") else config.precision
