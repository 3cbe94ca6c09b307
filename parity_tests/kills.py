"""Kills runs with SIGKILL and resumes them, until they are complete.

    python parity_tests/kills.py jax_gan 40 0 FOLDER

Each of 40 runs is killed once: half of them while they write a checkpoint or
an image, at a random call; the others at a random moment. Then it is resumed,
and compared with a run that was never killed. Prints one line for each.

Each run is a fork of a process that has imported the framework, and has not
used it: a start takes no seconds.
"""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from safetensors import safe_open

from experiment.cli import main

# Checkpoints and images in every iteration: hundreds of writes a second.
RUN = ["--recipe", "mlp", "--steps", "5", "--sample-every", "1"]
RUN += ["--batch-size", "4", "--generator-hidden", "8"]
RUN += ["--discriminator-hidden", "8", "--device", "cpu"]
_WRITES = 5 * 3 * 3  # at least: fsync, rename and fsync of three files


def train(
    name: str, *arguments: object, before: Callable = lambda: None
) -> int:
    """Trains in a fork, quietly; its process id."""
    child = os.fork()
    if child:
        return child
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    before()
    status = 1
    try:
        status = main(name, ["train", *map(str, arguments)])
    finally:
        os._exit(status)


def die_at(call: int) -> None:
    """Kills this process at the n-th call that syncs or renames a file."""
    left = [call]

    def counted(function: Callable) -> Callable:
        def wrapper(*arguments: object, **options: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return wrapper

    for function in ("fsync", "replace"):
        setattr(os, function, counted(getattr(os, function)))


def kill(
    name: str, folder: Path, rng: random.Random, while_writing: bool
) -> str:
    """A run that is killed; when, in words."""
    arguments = "--out", folder, *RUN
    if while_writing:
        call = rng.randint(1, _WRITES)
        child = train(name, *arguments, before=lambda: die_at(call))
        os.waitpid(child, 0)
        return f"call {call}"
    child = train(name, *arguments)
    seconds = rng.uniform(0, 2)  # about as long as a run takes
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return f"{seconds:.2f} s"


def differences(folder: Path, whole: Path) -> list[str]:
    """Files of a complete run that another lacks, or has otherwise."""
    names = sorted(
        path.relative_to(whole)
        for path in whole.rglob("*")
        if path.suffix in (".png", ".gif", ".safetensors", ".json")
        or path.name == "metrics.jsonl"
    )
    return [
        str(name)
        for name in names
        if not (folder / name).is_file()
        or _contents(folder / name) != _contents(whole / name)
    ]


def _contents(path: Path) -> object:
    """The bytes of a file; safetensors has its metadata in no order."""
    if path.suffix != ".safetensors":
        return path.read_bytes()
    with safe_open(path, "numpy") as file:
        names = file.keys()
        arrays = {name: file.get_tensor(name).tobytes() for name in names}
        return file.metadata(), arrays


def check(name: str, count: int, seed: int, folder: Path) -> int:
    """Kills and resumes runs; the number of those that differ."""
    import_module(f"{name}.api")
    import_module("experiment.commands")
    whole = folder / "whole"
    _, status = os.waitpid(train(name, "--out", whole, *RUN), 0)
    if status:
        raise RuntimeError(f"a run that nothing happens to ends with {status}")
    rng, failures = random.Random(seed), 0
    for i in range(count):
        run = folder / f"{i}"
        when = kill(name, run, rng, while_writing=i % 2 == 0)
        begun = (run / "config.json").exists()
        resumed = ("--resume", run) if begun else ("--out", run, *RUN)
        # One that was complete already has nothing to resume.
        os.waitpid(train(name, *resumed), 0)
        found = differences(run, whole)
        failures += bool(found)
        print(f"{i} killed at {when}: {', '.join(found) or 'equal'}")
    return failures


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(check(given[0], int(given[1]), int(given[2]), Path(given[3])))
