"""Signals that ask a run to stop: Ctrl-C, a scheduler, a closed terminal.

Python runs a handler between two Python instructions only. A framework
that compiles for a minute would leave a signal unanswered as long, so in a
process that only runs a command a thread answers. Nothing heavy is imported
here: the command line listens before it loads anything else.
"""

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

# SLURM, Kubernetes and spot machines send SIGTERM, a closed terminal SIGHUP.
_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
]
TIME_LIMIT = 124  # exit status, as of timeout(1)


class StopError(KeyboardInterrupt):
    """A run that a signal or its time limit stopped.

    Attributes:
        reason: the signal's name, or ``time limit``.
        status: of the process: 128 plus the signal's number, as in a shell, or
            ``TIME_LIMIT``.
    """

    def __init__(self, number: int | None):
        name = "time limit" if number is None else signal.Signals(number).name
        super().__init__(name)
        self.reason = name
        self.status = TIME_LIMIT if number is None else 128 + number


@contextmanager
def stopping() -> Iterator[None]:
    """Lets a signal raise StopError immediately, wherever the program is.

    For work in other processes, which loses nothing.
    """

    def stop(number: int, _: Any) -> None:
        raise StopError(number)

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class StopRequest:
    """The first signal asks for a stop, a second one stops immediately.

    A framework in the middle of a call could lose an exception; so the run
    asks at moments when it can stop. In a thread signals stay with the program
    that started it: Python delivers them to the main thread alone.

    Attributes:
        signalled: whether this process has heard a signal.
    """

    def __init__(self, say: Callable[[str], None], hours: float | None):
        """Hears nothing yet.

        Args:
            say: told that a signal has been heard.
            hours: from now on, after which the run is to stop as well; None
                for no limit.
        """
        self._say = say
        limit = math.inf if hours is None else 3600 * hours
        self._end = time.monotonic() + limit
        self._number: int | None = None
        self.signalled = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        """Listens from now on."""
        if _listening:
            _requests.append(self)
        elif threading.current_thread() is threading.main_thread():
            for number in _not_ignored():
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: Any) -> None:
        """Gives the signals back."""
        if self in _requests:
            _requests.remove(self)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def asked(self) -> bool:
        """Whether a signal has been heard, or the time is over."""
        return self._number is not None or time.monotonic() >= self._end

    @property
    def number(self) -> int | None:
        """The number of the signal that a process has heard, if any."""
        return self._number

    def adopt(self, number: int | None) -> None:
        """Stops as another process of the run does.

        The first signal that this process hears itself is still its first.

        Args:
            number: of the signal that was heard there; None if the time is
                over.
        """
        if number is None:
            self._end = -math.inf
        else:
            self._number = number

    def stop(self) -> None:
        """Ends the run, if that was asked for.

        Raises:
            StopError: it was.
        """
        if self.asked:
            raise StopError(self._number)

    def hear(self, number: int) -> None:
        """Takes the first signal."""
        self._number, self.signalled = number, True
        name = signal.Signals(number).name
        self._say(
            f"{name}: stops after this chunk; send it again to stop immediately"
        )

    def _handle(self, number: int, _: Any) -> None:
        if self.signalled:
            raise StopError(number)
        self.hear(number)


# Of a process that listens: the runs that want to be asked, the last one first.
_requests: list[StopRequest] = []
_listening = False


def listen() -> None:
    """Answers signals in a thread, whatever the process computes.

    For a process that only runs a command. A signal ends it immediately,
    unless a ``StopRequest`` takes the first one.
    """
    global _listening
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for number in _not_ignored():
        signal.signal(number, _leave_to_the_thread)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]
    threading.Thread(
        target=_answer, args=(reader, terminals), daemon=True
    ).start()
    _listening = True


@contextmanager
def handed_over() -> Iterator[None]:
    """Leaves signals to a library that takes them within the context."""
    descriptor = signal.set_wakeup_fd(-1)
    before = {n: signal.signal(n, signal.SIG_DFL) for n in _not_ignored()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)


def _not_ignored() -> list[signal.Signals]:
    """The signals, but those that nohup or a shell ignores for its child."""
    return [n for n in _SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]


def _leave_to_the_thread(number: int, _: Any) -> None:
    """Python writes a signal's number to the pipe only if it has a handler."""


def _answer(reader: int, terminals: list[int]) -> None:
    while True:
        (number,) = os.read(reader, 1)
        if number not in _SIGNALS:
            continue
        for descriptor in terminals:
            if not os.isatty(descriptor):  # closed: a print would end the run
                os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
        request = _requests[-1] if _requests else None
        if request is None or request.signalled:
            _end(number)
        else:
            with suppress(OSError):
                request.hear(number)


def _end(number: int) -> None:
    """Ends the process: no handler runs, and nothing is waited for.

    What it wrote is whole, since a file takes its place when it is complete.
    """
    name = signal.Signals(number).name
    shown = b"\x1b[?25h" if os.isatty(2) else b""  # a progress bar hides it
    with suppress(OSError):
        os.write(2, shown + f"{name}: stopped immediately\n".encode())
    os._exit(128 + number)
