"""A recording on disk: numbers by step, and an index that vouches for them.

FORMAT.md describes the folder.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as format_tensors

from experiment.errors import InputError
from experiment.files import read_text

# Schemas and their versions: of this project's GAN, and of any other side.
GAN, ANY = "gan-trajectory", "training-trajectory"
VERSIONS = {GAN: 1, ANY: 1}

Layout = dict[str, tuple[str, tuple[int, ...]]]  # dtype and shape, by name
Tensors = dict[str, NDArray]


@dataclass(frozen=True)
class Recording:
    """A recording, each file of which ``load_recording`` has verified.

    Attributes:
        folder: where it is.
        index: what ``index.json`` says.
        steps: how many were recorded.
        states: those after which state and gradients were recorded.
        layouts: the tensors of each file, without the leading digits.
        digests: SHA-256 of each file.
    """

    folder: Path
    index: Mapping[str, Any]
    steps: int
    states: tuple[int, ...]
    layouts: tuple[Layout, ...]
    digests: tuple[str, ...]

    def read(self, step: int) -> Tensors:
        """The tensors of a step, without the leading digits; 0 is the start.

        Raises:
            InputError: names the file, and the tensor that is not what the
                index says.
        """
        path = self.folder / file_name(step)
        if not path.is_file():  # a named pipe would never end
            raise InputError(f"{path} is missing: record it again")
        try:
            content = path.read_bytes()
            tensors = parse_tensors(content)
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise InputError(
                f"{path} is damaged ({one_line(error)}): record it again"
            ) from error
        wanted = prefixed(f"{step:06d}/", self.layouts[step])
        _verify_tensors(path, tensors, wanted)
        if hashlib.sha256(content).hexdigest() != self.digests[step]:
            raise InputError(
                f"{path} has other numbers than were recorded (its SHA-256 is "
                "not that of the index): record it again"
            )
        return part_of(f"{step:06d}/", tensors)


def write_recording(
    folder: Path,
    steps: Iterable[Tensors],
    index: Callable[[], Mapping[str, Any]],
) -> None:
    """Writes a recording.

    The files are written next to ``folder`` and renamed when all are there.

    Args:
        folder: where to; it must not exist.
        steps: the tensors of each, from 0.
        index: gives the entries of the index when all steps are there.

    Raises:
        InputError: the folder exists or cannot be made.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    if folder.exists():
        raise InputError(f"{folder} exists already: choose another name")
    try:
        partial.mkdir(parents=True)
    except FileExistsError as error:
        raise InputError(
            f"{partial} is left of a recording that was stopped: remove it"
        ) from error
    except OSError as error:
        raise InputError(f"{partial}: {error.strerror}") from error
    try:
        files = {
            file_name(step): _write_file(partial, step, tensors)
            for step, tensors in enumerate(steps)
        }
        _write_index(partial, {**index(), "files": files})
        os.rename(partial, folder)
    except BaseException:
        shutil.rmtree(partial)
        raise


def _write_file(folder: Path, step: int, tensors: Tensors) -> dict[str, Any]:
    """Writes the tensors of a step; what the index says of them."""
    # Safetensors writes memory as it lies: a transposed view must not be.
    tensors = {
        f"{step:06d}/{name}": np.array(array, order="C")
        for name, array in tensors.items()
    }
    for name, array in tensors.items():
        if array.dtype.kind not in "biuf":
            raise InputError(
                f"{name} is {array.dtype}: a recording holds numbers and "
                "booleans"
            )
    content = format_tensors(tensors)
    (folder / file_name(step)).write_bytes(content)
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "tensors": {
            name: {"dtype": str(array.dtype), "shape": array.shape}
            for name, array in sorted(tensors.items())
        },
    }


def _write_index(folder: Path, index: dict[str, Any]) -> None:
    index = {**index, "sha256": _digest(index)}
    # A list, or a tensor's type and shape, on one line.
    text = re.sub(
        r'\{\s*"dtype"[^{}]*\}|\[[^][{}]*\]',
        lambda found: " ".join(found[0].split()),
        json.dumps(index, indent=1),
    )
    (folder / "index.json").write_text(text + "\n")


def _digest(index: Mapping[str, Any]) -> str:
    """SHA-256 of all entries but itself, whatever their spacing."""
    others = {k: value for k, value in index.items() if k != "sha256"}
    text = json.dumps(others, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def load_recording(
    folder: Path, verify: Callable[[Recording], None] = lambda of: None
) -> Recording:
    """A recording, after every number in it was verified.

    Args:
        folder: where it is.
        verify: raises InputError if its index contradicts itself.

    Raises:
        InputError: the index is damaged, changed, or of another version; a
            file or a tensor is missing, unknown, of another shape or
            precision, not finite, or changed since it was recorded. The
            message names it.
    """
    path = folder / "index.json"
    try:
        index = json.loads(read_text(path))
        _verify_schema(path, index.get("schema"), index.get("version"))
        recording = _from_index(folder, index)
        verify(recording)
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
            f"{path} is damaged ({one_line(error)}): record it again"
        ) from error
    # Last, since the other messages say more; older recordings have none.
    if index.get("sha256", _digest(index)) != _digest(index):
        raise InputError(
            f"{path} was changed since it was recorded (its SHA-256 is not "
            "that of its entries): record it again"
        )
    for step in range(recording.steps + 1):
        recording.read(step)
    return recording


def _verify_schema(path: Path, schema: Any, version: Any) -> None:
    if schema not in VERSIONS:
        raise InputError(
            f"{path} has schema {schema!r}, not {' or '.join(VERSIONS)}"
        )
    if version != VERSIONS[schema]:
        raise InputError(
            f"{path} has version {version!r} of {schema}; known: "
            f"{VERSIONS[schema]}: record it again"
        )


def _from_index(folder: Path, index: Mapping[str, Any]) -> Recording:
    steps, states = int(index["steps"]), tuple(map(int, index["states"]))
    rises = list(states) == sorted(set(states))
    if not rises or states[:1] < (1,) or states[-1:] != (steps,):
        raise InputError(
            f"{folder / 'index.json'}: states is {list(states)}: it must rise "
            f"from 1 or more to steps, {steps}"
        )
    files, layouts = index["files"], []
    for step in range(steps + 1):
        tensors = files[file_name(step)]["tensors"]
        layout = {
            name: (str(value["dtype"]), tuple(value["shape"]))
            for name, value in tensors.items()
        }
        layouts.append(part_of(f"{step:06d}/", layout))
    digests = [files[file_name(step)]["sha256"] for step in range(steps + 1)]
    return Recording(
        folder, index, steps, states, tuple(layouts), tuple(digests)
    )


def _verify_tensors(
    path: Path, found: Mapping[str, NDArray], wanted: Mapping[str, Any]
) -> None:
    """Holds tensors against names, types and shapes; they must be finite."""
    for name in sorted(wanted.keys() - found.keys()):
        raise InputError(f"{path} lacks the tensor {name}")
    for name in sorted(found.keys() - wanted.keys()):
        raise InputError(f"{path} has a tensor that is not known: {name}")
    for name, array in found.items():
        layout = str(array.dtype), array.shape
        if layout != wanted[name]:
            raise InputError(
                f"{path}: {name} is {shown(layout)}, not {shown(wanted[name])}"
            )
        if not np.isfinite(array).all():
            raise InputError(
                f"{path}: {name} holds a number that is not finite"
            )


def file_name(step: int) -> str:
    """The file of a step; 0 is the state before the first."""
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


def shown(layout: tuple[str, tuple[int, ...]] | None) -> str:
    """A tensor's type and shape in a message."""
    return f"{layout[0]}{list(layout[1])}" if layout else "absent"


def one_line(error: Exception) -> str:
    """The message of an error on one line."""
    return " ".join(str(error).split())
