"""One prepared session on a GPU that is rented by the minute.

Each part writes into the session's folder as it runs, and none starts when its
time is over. A second session in the same folder adds process repetitions to
the ladder, and skips what is complete.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import epochs, ladder, profile, results
from benchmarks.analysis import iteration_seconds
from benchmarks.plan import require_same
from benchmarks.script import Script
from benchmarks.variant_names import duplicate, original
from experiment.errors import InputError
from experiment.files import replace_text
from experiment.machine import describe_machine

TWINS = {"jax": "jax_gan", "torch": "torch_ref"}
Say = Callable[[str], None]
_GRACE = 20.0  # seconds to write the results after the time is over


def run(script: Script, folder: Path, data_dir: Path | None, say: Say) -> int:
    """Runs every part for which there is time; returns the exit status.

    Args:
        script: what to run.
        folder: of the session; it may have the files of an earlier one.
        data_dir: of MNIST, for the epochs; the embedded digits without it.
        say: takes a line of progress.

    Raises:
        InputError: the folder is of another machine or script.

    Returns:
        0 if every part completed or had no time, 1 if one failed.
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
            say(f"{name}: {left / 60:.1f} minutes left")
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
    """The test of the plain steps, a process for each twin."""
    if all((folder / f"steps-{twin}.json").exists() for twin in TWINS):
        return "done before"
    pytest = [sys.executable, "-m", "pytest", "parity_tests/test_gpu.py"]
    pytest += ["-m", "gpu", "--on", script.scout.device]
    pytest += ["-p", "no:cacheprovider"]
    commands = {}
    for twin, module in TWINS.items():
        chosen = " and ".join(filter(None, [module, script.steps]))
        record = str(folder / f"steps-{twin}.json")
        commands[twin] = [*pytest, "-k", chosen, "--record", record]
    return _run_twins(commands, folder, "steps", seconds)


def _ladder(script: Script, folder: Path, seconds: float, say: Say) -> str:
    """All variants once; then repetitions of the best and their duplicates."""
    begun = time.monotonic()
    scout, out = folder / "scout.json", folder / "ladder.json"
    plan = replace(script.scout, minutes=seconds / 60)
    if scout.exists():
        scouted = results.load(scout)
        require_same(plan, scouted, scout)
    else:
        scouted = ladder.measure(plan, scout, say)
        if scouted["failed"]:
            return f"failed: {scouted['failed']}"
    best = best_variants(scouted)
    variants = (*best, *map(duplicate, best))
    left = seconds - (time.monotonic() - begun)
    if left <= 0:
        return "no time for repetitions"
    plan = replace(script.timed, variants=variants, minutes=left / 60)
    if out.exists():
        earlier = results.load(out)
        require_same(plan, earlier, out)
    else:
        earlier = ladder.blank(plan)
        for name, workload in earlier["workloads"].items():
            excluded = scouted["workloads"][name]["refused"]
            for variant in variants:
                if reason := excluded.get(original(variant)):
                    workload["refused"][variant] = reason
    timed = ladder.measure(plan, out, say, None, earlier)
    return f"failed: {timed['failed']}" if timed["failed"] else "done"


def best_variants(scouted: dict[str, Any]) -> list[str]:
    """The variant of each twin with the smallest geometric mean of times.

    The mean is over the workloads that every variant of the twin has a time
    of; variants with times of fewer workloads are left out.

    Raises:
        InputError: a twin has no variant that was timed.
    """
    times = [
        {n: float(np.median(b)) for n, b in iteration_seconds(w).items()}
        for w in scouted["workloads"].values()
    ]
    best = []
    for twin in TWINS:
        variants = {v for row in times for v in row if v.startswith(f"{twin} ")}
        if not variants:
            raise InputError(
                f"no variant of {twin} was timed: see the messages above"
            )
        counts = {v: sum(v in row for row in times) for v in variants}
        usual = [v for v in variants if counts[v] == max(counts.values())]
        shared = [row for row in times if all(v in row for v in usual)]
        best.append(
            min(
                sorted(usual),
                key=lambda v: sum(np.log(row[v]) for row in shared),
            )
        )
    return best


def _profile(script: Script, folder: Path, say: Say) -> str:
    out = folder / "profile.json"
    if out.exists() and profile.load_profile(out)["failed"] is None:
        return "done before"
    scout = folder / "scout.json"
    if not scout.exists():
        return "no ladder, no best variants"
    best = tuple(best_variants(results.load(scout)))
    plan = replace(script.profiled, variants=best)
    profiled = profile.measure(plan, out, say)
    return f"failed: {profiled['failed']}" if profiled["failed"] else "done"


def _epochs(
    script: Script, folder: Path, data_dir: Path | None, seconds: float
) -> str:
    """Both twins concurrently: they are not timed."""
    commands = {}
    for twin, module in TWINS.items():
        job = epochs.Job(
            **asdict(script.trained),
            twin=module,
            seconds=seconds - 2 * _GRACE,
            data_dir=str(data_dir) if data_dir else None,
            out=str(folder / f"epochs-{twin}.json"),
        )
        text = json.dumps(asdict(job))
        commands[twin] = [sys.executable, "-m", "benchmarks.epochs", text]
    outcome = _run_twins(commands, folder, "epochs", seconds)
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


def _run_twins(
    commands: dict[str, list[str]], folder: Path, part: str, seconds: float
) -> str:
    """Runs a command for each twin; their output goes into the folder."""
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    end = time.monotonic() + seconds
    running = {}
    for twin, command in commands.items():
        with (folder / f"{part}-{twin}.log").open("w") as output:
            running[twin] = subprocess.Popen(
                command, stdout=output, stderr=output, env=environment
            )
    failed = []
    try:
        for twin, process in running.items():
            try:
                left = max(0.0, end - time.monotonic())
                if status := process.wait(left):
                    log = folder / f"{part}-{twin}.log"
                    failed.append(f"{twin} ended with status {status}: {log}")
            except subprocess.TimeoutExpired:
                failed.append(f"{twin} took too long")
    finally:
        for process in running.values():
            process.kill()
            process.wait()
    return f"failed: {'; '.join(failed)}" if failed else "done"
