"""Reading of JSON files that commands of the benchmark wrote."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiment.config import InputError


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
        schema: that it must have.
        version: likewise.
        command: of the benchmark, that writes such files.
        verb: what to do again where the file is of no use.
        verify: raises what a missing or spoilt value raises.

    Raises:
        InputError: the file is no JSON or cut short, of another schema or
            version, or fails ``verify``; the message names it.
    """
    try:
        contents = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(
            f"{path} is damaged or cut short ({error}): {verb} again"
        ) from error
    found = contents.get("schema") if isinstance(contents, dict) else None
    if found != schema:
        raise InputError(f"{path} is no file of python -m benchmarks {command}")
    if contents.get("version") != version:
        raise InputError(
            f"{path} is {schema} version {contents.get('version')!r}, not "
            f"{version}: {verb} again"
        )
    try:
        verify(contents)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"{path} lacks or spoils {error}: {verb} again"
        ) from error
    return contents
