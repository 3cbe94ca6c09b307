"""One session on a GPU that is rented by the minute, prepared to the end.

Each part writes into the session's folder as it goes, and none starts when its
time is over. A second session in the same folder adds sets of processes to the
ladder, and leaves out what is whole.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import epochs, ladder, profile, results
from benchmarks.plan import Plan, require_same
from benchmarks.script import Script
from experiment.config import InputError
from experiment.files import replace_text
from experiment.machine import describe_machine

TWINS = {"jax": "jax_gan", "torch": "torch_ref"}
Say = Callable[[str], None]
_GRACE = 20.0  # seconds to write what there is, once the time is over


def run(script: Script, folder: Path, data_dir: Path | None, say: Say) -> int:
    """Runs every part for which there is time; returns the exit status.

    Args:
        script: what.
        folder: of the session; it may have an earlier one's files.
        data_dir: of MNIST, for the epochs; the embedded digits without it.
        say: told of the progress.

    Raises:
        InputError: the folder is of another machine or script.

    Returns:
        0 if every part is whole or was over time, 1 if one failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    outcomes: dict[str, str] = {}
    parts: Sequence[tuple[str, float, Callable[[float], str]]] = (
        ("steps", script.minutes[0], lambda s: _steps(script, folder, s)),
        ("ladder", 0, lambda s: _ladder(script, folder, s, say)),
        ("profile", script.minutes[1], lambda s: _profile(script, folder, say)),
        ("epochs", 0, lambda s: _epochs(script, folder, data_dir, s)),
    )
    end = time.monotonic()
    for name, minutes, part in parts:
        end = max(end, time.monotonic()) + 60 * minutes
        left = end - time.monotonic()
        if left <= 0:
            outcomes[name] = "no time"
        else:
            say(f"{name}: {left / 60:.1f} minutes are left")
            try:
                outcomes[name] = part(left)
            except InputError as error:
                if name == "ladder":
                    raise
                outcomes[name] = f"failed: {error}"
        say(f"{name}: {outcomes[name]}")
        text = json.dumps({"machine": describe_machine(), "parts": outcomes})
        replace_text(folder / "session.json", text + "\n")
    return int(any(text.startswith("failed") for text in outcomes.values()))


def _steps(script: Script, folder: Path, seconds: float) -> str:
    """The rung of a GPU, a process for each twin."""
    if all((folder / f"steps-{twin}.json").exists() for twin in TWINS):
        return "done before"
    commands = {
        twin: [
            *(sys.executable, "-m", "pytest", "parity_tests/test_gpu.py"),
            *("-m", "gpu", "--on", script.device, "-p", "no:cacheprovider"),
            *("-k", " and ".join(filter(None, [module, script.steps]))),
            *("--record", str(folder / f"steps-{twin}.json")),
        ]
        for twin, module in TWINS.items()
    }
    return _side_by_side(commands, folder, "steps", seconds)


def _ladder(script: Script, folder: Path, seconds: float, say: Say) -> str:
    """All forms once; then sets of the best of each twin, and of it again."""
    begun = time.monotonic()
    scout, out = folder / "scout.json", folder / "ladder.json"
    wanted = _plan(script, script.forms, script.rounds[0], 1, seconds)
    if scout.exists():
        found = results.load(scout)
        require_same(wanted, found, scout)
    else:
        found = ladder.measure(wanted, scout, say)
        if found["failed"]:
            return f"failed: {found['failed']}"
    best = best_forms(found)
    variants = (*best, *(f"{name} again" for name in best))
    left = seconds - (time.monotonic() - begun)
    if left <= 0:
        return "no time for sets"
    wanted = _plan(script, variants, script.rounds[1], script.sets, left)
    if out.exists():
        earlier = results.load(out)
        require_same(wanted, earlier, out)
    else:
        earlier = ladder.blank(wanted)
        for name, workload in earlier["workloads"].items():
            refused = found["workloads"][name]["refused"]
            for variant in variants:
                if reason := refused.get(variant.removesuffix(" again")):
                    workload["refused"][variant] = reason
    found = ladder.measure(wanted, out, say, None, earlier)
    return f"failed: {found['failed']}" if found["failed"] else "done"


def _plan(
    script: Script,
    variants: tuple[str, ...],
    rounds: int,
    sets: int,
    seconds: float,
) -> Plan:
    return Plan(
        script.device,
        script.matmul,
        script.workloads,
        variants,
        rounds,
        sets,
        script.block_seconds,
        seconds / 60,
        patience=300.0,
        at_once=os.cpu_count() or 1,
    )


def best_forms(found: dict[str, Any]) -> list[str]:
    """The form of each twin that is fastest in the geometric mean.

    Over the workloads that every form of the twin has a time of.

    Raises:
        InputError: a twin has no form that was timed.
    """
    times = [
        {name: float(np.median(b)) for name, b in results.paces(of).items()}
        for of in found["workloads"].values()
    ]
    best = []
    for twin in TWINS:
        forms = {v for of in times for v in of if v.startswith(f"{twin} ")}
        if not forms:
            raise InputError(f"no form of {twin} was timed: see the messages")
        counts = {form: sum(form in of for of in times) for form in forms}
        usual = [f for f in forms if counts[f] == max(counts.values())]
        shared = [of for of in times if all(form in of for form in usual)]
        best.append(
            min(
                sorted(usual),
                key=lambda f: sum(np.log(of[f]) for of in shared),
            )
        )
    return best


def _profile(script: Script, folder: Path, say: Say) -> str:
    out = folder / "profile.json"
    if out.exists() and profile.load_profile(out)["failed"] is None:
        return "done before"
    scout = folder / "scout.json"
    if not scout.exists():
        return "no ladder, no best forms"
    workloads, steps = script.profiled
    forms = tuple(best_forms(results.load(scout)))
    wanted = profile.Plan(script.device, workloads, forms, steps)
    found = profile.measure(wanted, out, say)
    return f"failed: {found['failed']}" if found["failed"] else "done"


def _epochs(
    script: Script, folder: Path, data_dir: Path | None, seconds: float
) -> str:
    """Both twins at once: they are not timed."""
    commands = {}
    for twin, module in TWINS.items():
        job = epochs.Job(
            module,
            script.device,
            script.epochs,
            script.every,
            script.epoch_steps,
            script.samples,
            seconds - 2 * _GRACE,
            str(data_dir) if data_dir else None,
            str(folder / f"epochs-{twin}.json"),
        )
        text = json.dumps(asdict(job))
        commands[twin] = [sys.executable, "-m", "benchmarks.epochs", text]
    outcome = _side_by_side(commands, folder, "epochs", seconds)
    runs = {
        twin: json.loads(path.read_text())
        for twin in TWINS
        if (path := folder / f"epochs-{twin}.json").exists()
    }
    if runs:
        (folder / "epochs.md").write_text(epochs.table(runs) + "\n")
    return outcome


def commit(folder: Path) -> list[Path]:
    """Copies a session's files into the package, with report and tables.

    Raises:
        InputError: the session has no ladder.
    """
    from benchmarks import report
    from benchmarks.readme import ROOT, write_pages

    target = ROOT / "benchmarks/gpu"
    measured = results.load(folder / "ladder.json")
    copied = []
    for path in sorted([*folder.glob("*.json"), *folder.glob("*.md")]):
        name = "tf32.json" if path.name == "ladder.json" else path.name
        copied.append(Path(shutil.copy(path, target / name)))
    report.write(target, measured)
    return [*copied, *write_pages()]


def _side_by_side(
    commands: dict[str, list[str]], folder: Path, part: str, seconds: float
) -> str:
    """Runs a command for each twin; what they say goes into the folder."""
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    end = time.monotonic() + seconds
    running = {}
    for twin, command in commands.items():
        with (folder / f"{part}-{twin}.log").open("w") as log:
            running[twin] = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment
            )
    failed = []
    try:
        for twin, process in running.items():
            try:
                left = max(0.0, end - time.monotonic())
                if status := process.wait(left):
                    said = folder / f"{part}-{twin}.log"
                    failed.append(f"{twin} ended with status {status}: {said}")
            except subprocess.TimeoutExpired:
                failed.append(f"{twin} took too long")
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    return f"failed: {'; '.join(failed)}" if failed else "done"
