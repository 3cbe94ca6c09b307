"""Reading and verification of the JSON files that the benchmark writes."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiment.errors import InputError


def read_json(
    path: Path,
    schema: str,
    version: int,
    command: str,
    verb: str,
    verify: Callable[[Mapping[str, Any]], None],
) -> dict[str, Any]:
    """The contents of a file, verified.

    Args:
        path: of the file.
        schema: the name that it must have.
        version: likewise.
        command: of the benchmark that writes such files.
        verb: what the user must do again if the file is invalid.
        verify: raises an error if a value is missing or invalid.

    Raises:
        InputError: the file is not JSON, is truncated, has another schema or
            version, or fails ``verify``; the message names it.
    """
    try:
        contents = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(
            f"{path} is damaged or truncated ({error}): {verb} again"
        ) from error
    found = contents.get("schema") if isinstance(contents, dict) else None
    if found != schema:
        raise InputError(
            f"{path} is not a file of python -m benchmarks {command}"
        )
    if contents.get("version") != version:
        raise InputError(
            f"{path} is {schema} version {contents.get('version')!r}, not "
            f"{version}: {verb} again"
        )
    try:
        verify(contents)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"{path} has a missing or invalid value, {error}: {verb} again"
        ) from error
    return contents
