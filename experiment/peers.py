"""The other processes of a run: what all agree on, and whether all are there.

All processes take the same iterations, process 0 alone writes. They talk
before the first iteration and after every chunk. A process that fails ends all
of them, so that a launcher can start all again from the last checkpoint.
"""

import hashlib
import json
import math
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiment.config import Config
from experiment.errors import InputError
from experiment.pixels import Data, data_digest
from experiment.processes import ALONE, Place
from experiment.signals import StopRequest

# A chunk may take so long, and ten times as long as the one before it.
HANG_SECONDS = 300.0
_POLL_SECONDS = 0.2
# All see the same process missing before any of them ends for it.
_FAREWELL_SECONDS = 3.0


class _Peer(NamedTuple):
    """A process of this machine."""

    rank: int
    pid: int


class Agreement(NamedTuple):
    """What all processes do after a chunk of iterations.

    Attributes:
        ends: the run has its last iteration, or collapsed and is to end then.
        stops: a signal was heard, or the time is over.
        saves: a checkpoint is due.
    """

    ends: bool
    stops: bool
    saves: bool


class Peers:
    """The processes of a run, seen from one of them.

    Alone, a process agrees with itself and watches nobody.
    """

    def __init__(self, twin: ModuleType, place: Place = ALONE):
        """Meets the others.

        Args:
            twin: its ``join`` has connected them.
            place: of this process.
        """
        self.place, self._alone = place, place.processes == 1
        self._left, self._ending = threading.Event(), threading.Lock()
        if self._alone:
            return
        self._gather = twin.gather
        host = _digest(socket.gethostname().encode())
        pid = np.array([os.getpid()], np.uint32).view(np.uint8)
        hosts, pids = self._gather(host), self._gather(pid)
        peers = [
            _Peer(rank, int(pids[rank].view(np.uint32)[0]))
            for rank in range(place.processes)
            if rank != place.rank and (hosts[rank] == host).all()
        ]
        # In separate containers processes cannot see each other.
        self._neighbours = [p for p in peers if _state(p.pid) == "runs"]
        self._pace = 0.0
        self._beaten = time.monotonic()
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def writes(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.place.rank == 0

    def together(self, work: Callable[[], Any]) -> Any:
        """What ``work`` gives, once all processes have done it.

        Raises:
            InputError: from ``work``, alone.
            SystemExit: of status 2 in all processes, if it failed in any; the
                first of those has said why.
        """
        if self._alone:
            return work()
        result, failure = None, None
        try:
            result = work()
        except InputError as error:
            failure = error
        failed = self._gather(np.array([failure is not None], np.uint8))
        if failed.any():
            if int(np.argmax(failed[:, 0])) == self.place.rank:
                text = str(failure)
                if not failed.all():
                    text = f"rank {self.place.rank}: {text}"
                print(f"error: {text}", file=sys.stderr, flush=True)
            self.leave()
            raise SystemExit(2)
        self._beat()
        return result

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Takes nothing for a hang within the context."""
        self._pace = math.inf
        try:
            yield
        finally:
            self._beaten, self._pace = time.monotonic(), 0.0

    def require_same(
        self,
        config: Config,
        data: Data,
        state: Mapping[str, NDArray],
    ) -> None:
        """Compares digests of what all processes must have alike.

        Args:
            config: the experiment.
            data: its training set.
            state: the arrays of the game that the run starts from.

        Raises:
            InputError: the first process that has others than process 0.
        """
        if self._alone:
            return
        text = json.dumps(asdict(config), sort_keys=True).encode()
        ours = {
            "settings": _digest(text),
            "data": _digest(data_digest(data).encode()),
            "weights": _digest(*(a.tobytes() for a in state.values())),
        }
        for what, digest in ours.items():
            digests = self._gather(digest)
            others = (digests != digests[0]).any(1)
            if others.any():
                rank = int(np.argmax(others))
                raise InputError(
                    f"rank {rank} has other {what} than rank 0: start all "
                    "processes with the same options, files and versions"
                )

    def agree(
        self, stop: StopRequest, ends: bool, saves: bool = False
    ) -> "Agreement":
        """What all do after a chunk, since one of them wants it.

        Args:
            stop: of this process; it adopts what another has heard.
            ends: whether the run ends for this process.
            saves: whether a checkpoint is due for it.
        """
        if self._alone:
            return Agreement(ends, stop.asked, saves)
        said = [stop.number or 0, stop.asked, ends, saves]
        signals, stops, endings, due = self._gather(np.array(said, np.uint8)).T
        self._beat()
        if stops.any():
            stop.adopt(int(signals.max()) or None)
        return Agreement(
            bool(endings.any()), bool(stops.any()), bool(due.any())
        )

    def heard(self, say: Callable[[str], None]) -> Callable[[str], None]:
        """What a signal has said, unless it came because a process is gone.

        A launcher then sends it to all others.
        """

        def say_if_complete(text: str) -> None:
            if not self._alone:
                self._end_if_missing()
            if self.writes:
                say(text)

        return say_if_complete

    def leave(self) -> None:
        """Lets all processes go, once all are here."""
        if not self._alone and not self._left.is_set():
            self._left.set()
            self._gather(np.zeros(1, np.uint8))

    def explain(self, error: Exception) -> None:
        """Ends this process, since an exchange with the others failed.

        Alone, it returns: then the error is another.
        """
        if self._alone:
            return
        for _ in range(10):
            self._end_if_missing(anyway=True)
            time.sleep(_POLL_SECONDS)
        reason = " ".join(str(error).split())[:200]
        self._end(f"rank {self.place.rank} lost the others ({reason})")

    def _beat(self) -> None:
        now = time.monotonic()
        self._pace, self._beaten = now - self._beaten, now

    def _watch(self) -> None:
        while not self._left.wait(_POLL_SECONDS):
            self._end_if_missing()
            waited = time.monotonic() - self._beaten
            if waited > HANG_SECONDS + 10 * self._pace:
                self._end_hanging(waited)

    def _end_if_missing(self, anyway: bool = False) -> None:
        ranks = [p.rank for p in self._neighbours if _state(p.pid) == "gone"]
        if ranks and (anyway or not self._left.is_set()):
            named = ", ".join(map(str, ranks))
            self._end(f"the process of rank {named} has ended", ranks)

    def _end_hanging(self, waited: float) -> None:
        states = {p.rank: _state(p.pid) for p in self._neighbours}
        ranks = [rank for rank, state in states.items() if state == "stopped"]
        text = f"no chunk of iterations for {waited:.0f} s"
        if ranks:
            named = ", ".join(map(str, ranks))
            text += f": the process of rank {named} does not run"
        self._end(text, ranks)

    def _end(self, text: str, missing: list[int] | None = None) -> None:
        """Ends this process; the first of those that are left says why."""
        self._ending.acquire()  # once
        ranks = [peer.rank for peer in self._neighbours]
        left = {*ranks, self.place.rank} - set(missing or ())
        if self.place.rank == min(left):
            print(
                f"error: {text}, so all processes end; start all again with "
                "--resume",
                file=sys.stderr,
                flush=True,
            )
        sys.stdout.flush()
        time.sleep(_FAREWELL_SECONDS)
        # No clean-up: it would wait for those that are gone.
        os._exit(1)


def _digest(*parts: bytes) -> NDArray[np.uint8]:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return np.frombuffer(digest.digest(), np.uint8)


def _state(pid: int) -> str:
    """``runs``, ``stopped`` or ``gone``, as far as this system tells."""
    proc = Path(f"/proc/{pid}/stat")
    if not Path("/proc/self/stat").exists():  # not Linux
        try:
            os.kill(pid, 0)
        except OSError:
            return "gone"
        return "runs"
    try:
        letter = proc.read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"
    return {"Z": "gone", "X": "gone", "T": "stopped"}.get(letter, "runs")
