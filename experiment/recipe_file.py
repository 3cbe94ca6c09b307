"""A user's own recipe: a JSON or TOML file of fields of ``Config``."""

import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import fields, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from experiment.config import Config
from experiment.errors import InputError
from experiment.recipes import DEFAULT, RECIPES, recipe


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, whose parser would take the last of equal keys."""
    values = dict(pairs)
    for name in values:
        if sum(key == name for key, _ in pairs) > 1:
            raise ValueError(f"key {name!r} is there twice; leave one out")
    return values


_PARSERS: dict[str, Callable[[str], Any]] = {
    ".json": partial(json.loads, object_pairs_hook=_unique),
    ".toml": tomllib.loads,
}
_KEYS = {item.name.replace("_", "-"): item.name for item in fields(Config)}


def require_recipe(name: str) -> None:
    """Makes sure that a recipe can have this name: a known one, or a file's.

    Raises:
        InputError: it cannot.
    """
    if name not in RECIPES and Path(name).suffix not in _PARSERS:
        raise InputError(
            f"recipe {name!r} is unknown; known: {', '.join(RECIPES)}, or a "
            f"file of your own, {' or '.join(_PARSERS)}"
        )


def find_recipe(name: str, **changes: Any) -> Config:
    """The config of a known recipe or of a file, with some fields changed.

    Raises:
        InputError: no recipe has this name, or as ``read_recipe``.
        OSError: the file cannot be opened.
    """
    require_recipe(name)
    if name in RECIPES:
        return recipe(name, **changes)
    return replace(read_recipe(Path(name)), **changes)


def read_recipe(path: Path) -> Config:
    """The config of a file, whose name becomes that of the recipe.

    The file has fields of ``Config`` by name, and optionally ``base``, the
    known recipe that the other fields are taken from. Without it they have
    the defaults of ``Config``.

    Raises:
        InputError: the file is not JSON or TOML, or a field is there twice,
            unknown or its value invalid.
        OSError: the file cannot be opened.
    """
    try:
        values = _PARSERS[path.suffix](path.read_text(encoding="utf-8"))
    except ValueError as error:
        kind = path.suffix[1:].upper()
        raise InputError(f"{path} is not valid {kind}: {error}") from error
    if not isinstance(values, dict) or not values:
        raise InputError(
            f"{path} holds no fields: write for example "
            f'{{"base": "{DEFAULT}", "k": 2}}'
        )
    base = values.pop("base", None)
    if base is not None and base not in list(RECIPES):
        raise InputError(
            f"{path}: base {base!r} is unknown; known: {', '.join(RECIPES)}"
        )
    for name in values:
        _require_field(path, name)
    given: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in values.items()
    }
    try:
        return replace(RECIPES.get(base, Config()), recipe=path.name, **given)
    except InputError as error:
        raise InputError(f"{path}: {spell_as_keys(str(error))}") from error


def spell_as_keys(message: str) -> str:
    """A message about a config with its options spelled as the keys of files.

    Example:
        >>> spell_as_keys("batch-size is 0: it must be at least 1")
        'batch_size is 0: it must be at least 1'
    """
    words = r"[a-z0-9]+(-[a-z0-9]+)+"
    return re.sub(words, lambda word: _KEYS.get(word[0], word[0]), message)


def _require_field(path: Path, name: str) -> None:
    if name == "recipe":
        raise InputError(
            f"{path}: recipe is the name of this file: leave it out; base "
            "names the recipe to start from"
        )
    known = ["base", *(item.name for item in fields(Config))]
    if name not in known:
        (nearest,) = get_close_matches(name, known, n=1, cutoff=0)
        raise InputError(
            f"{path}: there is no field {name!r}; the nearest is {nearest}, "
            f"and info --recipe {DEFAULT} shows all"
        )
