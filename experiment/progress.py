"""What a run says while it trains."""

import math
import statistics
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from numpy.typing import NDArray
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from experiment.config import Config

T = TypeVar("T")


class _Console(Console):
    """On stderr; one whose reader is gone ends no training."""

    def __init__(self) -> None:
        super().__init__(stderr=True)

    def on_broken_pipe(self) -> None:
        """Says nothing any more."""
        self.quiet = True


class RunProgress:
    """What a run says on stderr: images/s, time left, and what happens to it.

    A bar on a terminal, else a line in a while.
    """

    def __init__(self, config: Config, step: int):
        """Begins at an iteration."""
        self._console, self._config = _Console(), config
        self._images = config.k * config.batch_size
        # Seconds an iteration, of every chunk but the first of each length:
        # JAX compiles again for a new length.
        self._paces: list[float] = []
        self._lengths: set[int] = set()
        self._printed = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(
            config.recipe, total=config.steps, completed=step, text=""
        )

    def __enter__(self):
        self._bar.start()

    def __exit__(self, *_):
        self._bar.stop()

    def say(self, text: str) -> None:
        """Prints a line."""
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)

    @property
    def images_per_second(self) -> float:
        """By the median pace, without compilation; NaN while there is none."""
        return self._speed(self._paces)

    def _speed(self, paces: list[float]) -> float:
        return self._images / statistics.median(paces) if paces else math.nan

    def report(self, seconds: float, metrics: dict[str, NDArray]) -> None:
        """Shows more iterations, which took ``seconds``."""
        step, count = int(metrics["step"][-1]), len(metrics["step"])
        if count in self._lengths:
            self._paces.append(seconds / count)
        self._lengths.add(count)
        speed = self._speed(self._paces[-20:])
        mean = {name: float(values.mean()) for name, values in metrics.items()}
        text = (
            f"D {mean['discriminator_loss']:.3f}  "
            f"G {mean['generator_loss']:.3f}  "
            f"D(x) {mean['real_probability']:.2f}  "
            f"D(G(z)) {mean['fake_probability']:.2f}"
        )
        left = ""
        if math.isfinite(speed):
            text = f"{speed:,.0f} images/s  {text}"
            rest = (self._config.steps - step) * self._images / speed
            left = f"  {rest:.0f} s left"
        self._bar.update(self._task, completed=step, text=text)
        if self._bar.disable and (
            time.monotonic() - self._printed > 10 or step == self._config.steps
        ):
            self._printed = time.monotonic()
            self._console.print(
                f"{step}/{self._config.steps}  {text}{left}",
                soft_wrap=True,
                highlight=False,
            )


def tell_progress(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Iterates, and says on stderr how many are done, once that takes 2 s.

    A bar on a terminal, else a line in a while.
    """
    console = _Console()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task, due = bar.add_task(what, total=total), time.monotonic() + 2
    try:
        for done, item in enumerate(items):
            bar.update(task, completed=done)
            if time.monotonic() > due:
                due += 10
                bar.start()
                if bar.disable:
                    text = f"{done:,} of {total:,} {what}"
                    console.print(text, highlight=False)
            yield item
    finally:
        bar.stop()
