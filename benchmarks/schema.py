"""The JSON files that the benchmark writes: whole, and verified when read."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiment.errors import InputError
from experiment.files import read_text, replace_text


def write_json(
    path: Path, contents: Mapping[str, Any], indent: int | None = 1
) -> None:
    """Writes a file, with a checksum as its last entry.

    Args:
        path: of the file, which is replaced.
        contents: of JSON's types.
        indent: of each level; None for one line.
    """
    checked = {**contents, "sha256": _digest(contents)}
    replace_text(path, json.dumps(checked, indent=indent) + "\n")


def read_json(
    path: Path,
    schema: str,
    version: int,
    command: str,
    remedy: str,
    verify: Callable[[Mapping[str, Any]], None],
) -> dict[str, Any]:
    """The contents of a file, verified.

    Args:
        path: of the file.
        schema: the name that it must have.
        version: likewise.
        command: of the benchmark that writes such files.
        remedy: what the user must do if the file is invalid.
        verify: raises an error if a value is missing or invalid.

    Raises:
        InputError: the file is not JSON, is truncated, has another schema,
            version or checksum, or fails ``verify``; the message names it.
            Files of earlier versions have no checksum.
    """
    try:
        contents = json.loads(read_text(path))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(
            f"{path} is damaged or truncated ({error}): {remedy}"
        ) from error
    found = contents.get("schema") if isinstance(contents, dict) else None
    if found != schema:
        raise InputError(
            f"{path} is not a file of python -m benchmarks {command}: {remedy}"
        )
    if contents.get("version") != version:
        raise InputError(
            f"{path} is {schema} version {contents.get('version')!r}, not "
            f"{version}: {remedy}"
        )
    try:
        verify(contents)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"{path} has a missing or invalid value, {error}: {remedy}"
        ) from error
    if contents.pop("sha256", None) not in (None, _digest(contents)):
        raise InputError(
            f"{path} is damaged or was edited (its checksum differs): {remedy}"
        )
    return contents


def _digest(contents: Mapping[str, Any]) -> str:
    # First as JSON has it: without tuples, and with keys that are texts.
    plain = json.loads(json.dumps(contents))
    text = json.dumps(plain, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
