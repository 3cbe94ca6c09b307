"""A run of either twin from a game to a full run folder."""

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from shlex import quote
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from experiment import figures, run
from experiment.checkpoints import describe, has_checkpoint
from experiment.chunks import DivergedError, iterate, require_finite
from experiment.config import Config
from experiment.events import add_event, load_events
from experiment.image_files import whole_frames
from experiment.machine import versions
from experiment.metrics_log import MetricsLog, load_metrics
from experiment.peers import Peers
from experiment.pixels import Data
from experiment.progress import RunProgress
from experiment.saver import Saver
from experiment.signals import StopRequest
from experiment.stream import fixed_noise
from experiment.train_options import KEEP
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


class Settings(NamedTuple):
    """How a run is kept and when it ends, next to its config.

    Attributes:
        keep_checkpoints: how many of the last ones stay; None for all.
        checkpoint_minutes: after which a checkpoint is due, next to those of
            ``sample_every``; None for these alone.
        max_hours: of training, after which the run stops with a checkpoint;
            None for no limit.
        stop_when_collapsed: end with a checkpoint if the game collapses.
    """

    keep_checkpoints: int | None = KEEP
    checkpoint_minutes: float | None = None
    max_hours: float | None = None
    stop_when_collapsed: bool = False


DEFAULTS = Settings()


def run_training(
    twin: ModuleType,
    config: Config,
    data: Data,
    device: Any,
    game: Any,
    folder: Path,
    step: int,
    train: Callable | None = None,
    settings: Settings = DEFAULTS,
    about: Mapping[str, str] = MappingProxyType({}),
    peers: Peers | None = None,
) -> Outcome:
    """Trains ``game`` from iteration ``step`` to ``config.steps``.

    Writes images, metrics and checkpoints to the run folder as it goes, and
    says once on stderr and in the folder if the game collapses. Images of the
    last checkpoint and of the whole run are drawn if they are missing, so a
    run that was killed between the two can be completed.

    Args:
        twin: the module that the game is of.
        config: the experiment.
        data: its training set.
        device: what ``select_device`` gave.
        game: the game after iteration ``step``.
        folder: of the run; it exists.
        step: iterations so far.
        train: a variant of the twin's ``train``; default: ``train`` itself.
        settings: how the run is kept and when it ends.
        about: what the checkpoint says that the run is resumed from.
        peers: the other processes of the run; default: there are none.

    Raises:
        DivergedError: a loss, a sample, or a weight is not finite any more.
        InputError: a checkpoint cannot be written.
        KeyboardInterrupt: a signal or the time limit asked for a stop; the
            last checkpoint is kept, and stderr has the command that resumes
            the run.
    """
    progress = RunProgress(config, step)
    say = progress.say
    log = MetricsLog(folder, step, say, about.get("metrics"))
    factor = float(about.get("learning_rate_factor", 1))
    saver = Saver(
        folder,
        describe(config, data, factor),
        settings.keep_checkpoints,
        settings.checkpoint_minutes,
        step if has_checkpoint(folder) else None,
    )
    draw = partial(_draw, twin, config, data, folder, say)
    peers = peers or Peers(twin)
    stop = StopRequest(peers.heard(say), settings.max_hours)
    watch = Watch(data_spread(config, data), config.loss)
    past = watch.follow(load_metrics(folder))
    collapse = run.forget_collapse(folder, step)
    if past and not collapse:  # of a run that was not watched
        collapse = past
        run.save_collapse(folder, past)
        say(describe_collapse(past, config))
    add_event(
        folder,
        "resumed" if step or load_events(folder) else "started",
        iteration=step,
        twin=twin.__package__,
        device=str(device),
        settings=settings._asdict(),
        versions=versions(),
    )

    def save(state: dict[str, NDArray]) -> None:
        log.sync()
        saver.save(step, state, log.digest)

    try:
        with progress, stop, saver:
            if saver.saved is None:
                save(twin.to_numpy(game))
            if step % config.sample_every == 0 or step == config.steps:
                draw(game, step)
            chunks = iterate(twin, config, data, device, game, step, train)
            for game, history, seconds in chunks:
                step = int(history["step"][-1])
                log.append(history)
                progress.report(seconds, history)
                found = None if collapse else watch.update(history)
                ends = step == config.steps
                if found:
                    collapse = found
                    with suppress(OSError):  # said below, in any case
                        run.save_collapse(folder, found)
                    add_event(folder, "collapsed", **asdict(found))
                    said = describe_collapse(found, config)
                    if settings.stop_when_collapsed:
                        ends = True
                        said += ". The run ends here (--stop-when-collapsed)"
                    say(said)
                due = step % config.sample_every == 0
                agreed = peers.agree(stop, ends, saver.due)
                if any(agreed) or due:
                    state = twin.to_numpy(game)
                    # The losses are of the weights before the last step.
                    require_finite(state, step)
                    save(state)
                if agreed.ends or agreed.stops:
                    saver.wait()
                    peers.leave()
                if agreed.ends or due:
                    draw(game, step)
                if agreed.ends:
                    break
                if agreed.stops:
                    stop.stop()
    except DivergedError:
        peers.leave()
        raise
    except KeyboardInterrupt as stopped:
        reason = getattr(stopped, "reason", "SIGINT")
        add_event(folder, "stopped", iteration=saver.saved, reason=reason)
        say(_how_to_resume(twin, config, folder, saver.saved))
        raise
    finally:
        log.close()
    _draw_whole(config, folder, say)
    add_event(folder, "finished", iteration=step)
    return Outcome(game, progress.images_per_second, step)


def products(config: Config, folder: Path, step: int) -> list[Path]:
    """What a run that ended at an iteration has drawn."""
    names = [f"samples/{step:06d}.png", "samples.gif", "curves.png"]
    if config.data == "gaussian":
        names.append("figure1.png")
    return [folder / name for name in names]


def _how_to_resume(
    twin: ModuleType, config: Config, folder: Path, saved: int | None
) -> str:
    again = f"-m {twin.__package__} train --resume {quote(str(folder))}"
    if config.data in ("mnist", "fashion-mnist", "folder"):
        again += " --data-dir ..."
    return (
        f"stopped; the checkpoint of iteration {saved} is kept. "
        f"Resume with: {quote(sys.executable)} {again}"
    )


def _draw(
    twin: ModuleType,
    config: Config,
    data: Data,
    folder: Path,
    say: Callable[[str], None],
    game: Any,
    step: int,
) -> None:
    """Draws the images of an iteration, if they can be written."""
    try:
        _save_images(twin, config, data, game, folder, step)
    except OSError as error:
        say(
            f"the images of iteration {step} cannot be written "
            f"({error.strerror}): training continues"
        )


def _draw_whole(
    config: Config, folder: Path, say: Callable[[str], None]
) -> None:
    """Draws the curves and the animation of a run, if they can be written."""
    try:
        metrics = load_metrics(folder)
        if metrics:
            figures.save_curves(folder / "curves.png", {"": metrics})
        frames = whole_frames(folder / "samples")
        if frames:
            figures.save_animation(folder / "samples.gif", frames)
        if frames and config.data == "gaussian":
            figures.save_panels(folder / "figure1.png", frames)
    except OSError as error:
        say(
            f"curves and animation cannot be written ({error.strerror}): make "
            f"space, then draw them by --resume {folder}"
        )


def _save_images(
    twin: ModuleType,
    config: Config,
    data: Data,
    game: Any,
    folder: Path,
    step: int,
) -> None:
    """Saves the samples of iteration ``step``, or its Figure 1."""
    path = folder / "samples" / f"{step:06d}.png"
    path.parent.mkdir(exist_ok=True)
    if config.data == "gaussian":
        numbers = np.asarray(data)
        mean, deviation = numbers.mean(), numbers.std()
        x = np.linspace(mean - 5 * deviation, mean + 5 * deviation, 201)
        x = x.astype(config.dtype)
        probability = twin.discriminate(game, x[:, np.newaxis])
        z = fixed_noise(config, 10_000)
        samples = twin.sample_images(game, z)
        figures.save_figure1(path, numbers, z, samples, x, probability, step)
    else:
        samples = twin.sample_images(game, fixed_noise(config, _IMAGES))
        figures.save_samples(path, samples, columns=8)
