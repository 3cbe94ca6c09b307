"""Objects that a command line names: ``module:object``."""

import sys
from importlib import import_module
from typing import Any

from experiment.errors import InputError


def find(name: str, option: str) -> Any:
    """The object that ``module:object`` names.

    The module is found as Python finds it, and in the working folder.

    Args:
        name: as it was given.
        option: it was given to, for messages.

    Raises:
        InputError: there is no such module or object.
    """
    module_name, _, path = name.partition(":")
    if "" not in sys.path:
        sys.path.append("")
    try:
        return getattr(import_module(module_name), path)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"{option} {name}: {error}; give module:object"
        ) from error
