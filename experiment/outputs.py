"""The files that a command is asked to create."""

import argparse

from experiment.errors import InputError


def check_outputs(
    options: argparse.Namespace, suffixes: tuple[str, ...]
) -> None:
    """What a command will create must be free, and end in a suffix."""
    for name in ("n", "rows"):
        if not 1 <= getattr(options, name, 1) <= 100_000:
            raise InputError(
                f"--{name} is {getattr(options, name)}: it must be from 1 to "
                "100,000"
            )
    out, npy = getattr(options, "out", None), getattr(options, "npy", None)
    if npy is not None and npy == out:
        raise InputError(f"--npy {npy} is --out too: name another")
    for path in (out, npy):
        if path is not None and path.exists():
            raise InputError(f"{path} exists already: choose another name")
        if path is not None and not path.parent.is_dir():
            raise InputError(f"{path.parent} is not a folder: make it first")
    if out is not None and out.suffix.lower() not in suffixes:
        raise InputError(
            f"--out {out}: its name must end in {' or '.join(suffixes)}"
        )
