"""Signals that ask a run to stop: Ctrl-C, a scheduler, a closed terminal."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# SLURM, Kubernetes and spot machines send SIGTERM, a closed terminal SIGHUP.
_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
]


class StopError(KeyboardInterrupt):
    """A run that a signal stopped.

    Attributes:
        number: of the signal; a shell expects status 128 + number.
    """

    def __init__(self, number: int):
        super().__init__(signal.Signals(number).name)
        self.number = number


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
    """

    def __init__(self, say: Callable[[str], None]):
        """Hears nothing yet.

        Args:
            say: told that a signal has been heard.
        """
        self._say = say
        self._number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        """Listens from now on."""
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: Any) -> None:
        """Gives the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def asked(self) -> bool:
        """Whether a signal has been heard."""
        return self._number is not None

    @property
    def number(self) -> int | None:
        """The number of the signal that has been heard, if any."""
        return self._number

    def adopt(self, number: int) -> None:
        """Takes a signal that another process of the run has heard."""
        self._number = number

    def stop(self) -> None:
        """Ends the run, if that was asked for.

        Raises:
            StopError: it was.
        """
        if self._number is not None:
            raise StopError(self._number)

    def _hear(self, number: int, _: Any) -> None:
        if self.asked:
            raise StopError(number)
        self._number = number
        name = signal.Signals(number).name
        self._say(
            f"{name}: stops after this chunk; send it again to stop immediately"
        )
