"""The log of a run's life: what happened to it, when and where.

DIR/events.jsonl has one line for each event: ``started`` or ``resumed`` with
the versions, ``checkpoint``, ``collapsed``, ``diverged``, ``continued`` with
lower learning rates, ``stopped`` by a signal or by the time limit, ``failed``
for a checkpoint that could not be written, and ``finished``. A run whose last
event is none of the last five was killed, or is running.
"""

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

# What a resumed run would only repeat.
_ENDS = "finished", "diverged"


def add_event(folder: Path, event: str, **details: Any) -> None:
    """Appends an event; one that cannot be written stops no training."""
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "event": event,
        **details,
        "host": socket.gethostname(),
        "process": os.getpid(),
    }
    with suppress(OSError), (folder / "events.jsonl").open("a+b") as file:
        text = json.dumps(line) + "\n"
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":  # a line that a kill cut short
                text = f"\n{text}"
        file.write(text.encode())


def load_events(folder: Path) -> list[dict[str, Any]]:
    """The events of a run, in order; damaged lines are left out."""
    path = folder / "events.jsonl"
    if not path.is_file():
        return []
    found = []
    for line in path.read_text(errors="replace").splitlines():
        with suppress(ValueError):
            event = json.loads(line)
            if isinstance(event, dict) and {"time", "event"} <= event.keys():
                found.append(event)
    return found


def last_setting(folder: Path, name: str, default: Any) -> Any:
    """A setting of the run's last start."""
    for event in reversed(load_events(folder)):
        settings = event.get("settings")
        if isinstance(settings, dict) and name in settings:
            return settings[name]
    return default


def interrupted(folder: Path) -> bool:
    """Whether a run began and has more to do."""
    events = [event["event"] for event in load_events(folder)]
    return bool(events) and events[-1] not in _ENDS


def describe_events(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Time, event and details of each; checkpoints in a row are one."""
    events = load_events(folder)
    for name, group in groupby(events, key=lambda event: event["event"]):
        of = list(group)
        if name == "checkpoint" and len(of) > 1:
            yield (
                str(of[-1]["time"]),
                f"{len(of)} checkpoints",
                f"iteration {of[0].get('iteration')} to "
                f"{of[-1].get('iteration')}",
            )
            continue
        for event in of:
            yield str(event["time"]), str(name), _details(event)


def _details(event: Mapping[str, Any]) -> str:
    parts = []
    for name, value in event.items():
        if name in ("time", "event"):
            continue
        if isinstance(value, dict):
            value = " ".join(f"{k} {v}" for k, v in value.items())
        parts.append(f"{name.replace('_', ' ')} {value}")
    return ", ".join(parts)
