"""A run of either twin from a game to a full run folder."""

import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from shlex import quote
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from experiment import figures, run
from experiment.chunks import DivergedError, iterate, require_finite
from experiment.config import Config
from experiment.errors import InputError
from experiment.peers import Peers
from experiment.recipes import starts_of
from experiment.signals import StopRequest
from experiment.stream import fixed_noise
from experiment.watch import Watch, data_spread, describe_collapse

_IMAGES = 64


class Outcome(NamedTuple):
    """What a run ends with.

    Attributes:
        game: after the last iteration.
        images_per_second: real images that D consumed, by the median pace of
            the chunks, without images, checkpoints and compilation: the
            first chunk of each length does not count. NaN if no other is.
        step: the last iteration: an earlier one than the config's if the run
            stopped itself.
    """

    game: Any
    images_per_second: float
    step: int


def run_training(
    twin: ModuleType,
    config: Config,
    data: NDArray[np.floating],
    device: Any,
    game: Any,
    folder: Path,
    step: int,
    train: Callable | None = None,
    stop_when_collapsed: bool = False,
    peers: Peers | None = None,
) -> Outcome:
    """Trains ``game`` from iteration ``step`` to ``config.steps``.

    Writes images, metrics and checkpoints to the run folder as it goes, and
    says once on stderr and in the folder if the game collapses.

    Args:
        twin: the module that the game is of.
        config: the experiment.
        data: its training set.
        device: what ``select_device`` gave.
        game: the game after iteration ``step``.
        folder: of the run; it exists.
        step: iterations so far.
        train: a variant of the twin's ``train``; default: ``train`` itself.
        stop_when_collapsed: end with a checkpoint if the game collapses.
        peers: the other processes of the run; default: there are none.

    Raises:
        DivergedError: a loss, or a sample, is not finite any more.
        KeyboardInterrupt: a signal asked for a stop; the last checkpoint is
            kept, and stderr has the command that resumes the run.
    """
    console = Console(stderr=True)
    log = run.MetricsLog(folder, step)
    progress = _Progress(console, config, step)
    saved = step if step else None
    peers = peers or Peers(twin)
    stop = StopRequest(peers.heard(lambda text: _say(console, text)))
    watch = Watch(data_spread(config, data), config.loss)
    past = watch.follow(run.load_metrics(folder))
    collapse = run.load_collapse(folder)
    if past and not collapse:  # of a run that was not watched
        collapse = past
        run.save_collapse(folder, past)
        _say(console, describe_collapse(past, config))
    try:
        if step == 0:
            run.save_checkpoint(folder, 0, twin.to_numpy(game))
            saved = 0
            _save_images(twin, config, data, game, folder, 0)
        chunks = iterate(twin, config, data, device, game, step, train)
        with progress, stop:
            for game, history, seconds in chunks:
                step = int(history["step"][-1])
                log.append(history)
                progress.report(seconds, history)
                found = None if collapse else watch.update(history)
                if found:
                    collapse = found
                    run.save_collapse(folder, found)
                    said = describe_collapse(found, config)
                    if stop_when_collapsed:
                        said += ". The run ends here (--stop-when-collapsed)"
                    _say(console, said)
                ends = step == config.steps or (found and stop_when_collapsed)
                ends = peers.agree(stop, bool(ends))
                due = step % config.sample_every == 0
                if stop.asked or ends or due:
                    state = twin.to_numpy(game)
                    # The losses are of the weights before the last step.
                    require_finite(state, step)
                    run.save_checkpoint(folder, step, state)
                    saved = step
                if stop.asked or ends:
                    peers.leave()
                stop.stop()
                if ends or due:
                    _save_images(twin, config, data, game, folder, step)
                if ends:
                    break
    except DivergedError as error:
        peers.leave()
        reason = str(error)
        if config.loss == "saturating":
            reason += ", or take --loss non-saturating"
        reason += f"; the checkpoint of iteration {saved} is kept"
        if starts := starts_of(config):
            reason += f". {starts}"
        raise InputError(reason) from error
    except KeyboardInterrupt:
        if saved is None:
            text = f"stopped before the first checkpoint: {folder} is of no use"
        else:
            again = f"-m {twin.__package__} train --resume {quote(str(folder))}"
            if config.data in ("mnist", "fashion-mnist", "folder"):
                again += " --data-dir ..."
            text = (
                f"stopped; the checkpoint of iteration {saved} is kept. "
                f"Resume with: {quote(sys.executable)} {again}"
            )
        _say(console, text)
        raise
    finally:
        log.close()
    figures.save_curves(folder / "curves.png", {"": run.load_metrics(folder)})
    frames = sorted(
        (folder / "samples").glob("*.png"), key=lambda path: int(path.stem)
    )
    figures.save_animation(folder / "samples.gif", frames)
    if config.data == "gaussian":
        figures.save_panels(folder / "figure1.png", frames)
    return Outcome(game, progress.images_per_second, step)


def _say(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, highlight=False, markup=False)


def _save_images(
    twin: ModuleType,
    config: Config,
    data: NDArray[np.floating],
    game: Any,
    folder: Path,
    step: int,
) -> None:
    """Saves the samples of iteration ``step``, or its Figure 1."""
    path = folder / "samples" / f"{step:06d}.png"
    path.parent.mkdir(exist_ok=True)
    if config.data == "gaussian":
        mean, deviation = data.mean(), data.std()
        x = np.linspace(mean - 5 * deviation, mean + 5 * deviation, 201)
        x = x.astype(config.dtype)
        probability = twin.discriminate(game, x[:, np.newaxis])
        z = fixed_noise(config, 10_000)
        samples = twin.sample_images(game, z)
        figures.save_figure1(path, data, z, samples, x, probability, step)
    else:
        samples = twin.sample_images(game, fixed_noise(config, _IMAGES))
        figures.save_samples(path, samples, columns=8)


class _Progress:
    """Images/s and time left: a bar on a terminal, else a line in a while."""

    def __init__(self, console: Console, config: Config, step: int):
        self._console, self._config = console, config
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
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(
            config.recipe, total=config.steps, completed=step, text=""
        )

    def __enter__(self):
        self._bar.start()

    def __exit__(self, *_):
        self._bar.stop()

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
