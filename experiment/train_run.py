"""A run from its first game, or its last checkpoint, to its end."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from experiment import run
from experiment.checkpoints import (
    Checkpoint,
    describe,
    has_checkpoint,
    load_checkpoint,
    report_damage,
    require_run,
    save_checkpoint,
    set_aside,
)
from experiment.chunks import DivergedError
from experiment.config import Config
from experiment.divergence import Place, advice, find_place, with_factor
from experiment.errors import InputError
from experiment.events import add_event
from experiment.restore import restored, with_weights
from experiment.resume import require_more
from experiment.training import Outcome, Settings, run_training

_CONTINUATIONS = 10  # of one command, each with lower learning rates


class Training:
    """The run of a folder: where it is, and how it continues.

    Attributes:
        origin: the run, and its iteration, of the initial weights, if they
            are of another run.
    """

    def __init__(
        self,
        twin: ModuleType,
        config: Config,
        data: NDArray[np.floating],
        device: Any,
        variant: str,
        folder: Path,
    ):
        """Takes what does not change.

        Args:
            twin: the module that trains.
            config: of the run folder.
            data: its training set.
            device: what ``select_device`` gave.
            variant: a name of the twin's ``VARIANTS``.
            folder: of the run.
        """
        self._twin, self._config, self._data = twin, config, data
        self._device, self._variant, self._folder = device, variant, folder
        self.origin: tuple[str, int] | None = None

    def begin(self, origin: Path | None) -> None:
        """Starts at iteration 0.

        Args:
            origin: run folder of the initial weights; None to draw them.

        Raises:
            InputError: the origin has no checkpoint, or other networks.
        """
        self._step = 0
        self._about: dict[str, str] = {}
        self._game = self._create(self._config)
        if origin:
            checkpoint = load_checkpoint(origin)
            report_damage(checkpoint)
            self.origin = str(origin), checkpoint.step
            self._game = with_weights(
                self._twin, self._game, checkpoint.state, origin
            )
        self._train = self._twin.VARIANTS[self._variant](self._game)

    def resume(self, stop_when_collapsed: bool) -> None:
        """Continues from the newest whole checkpoint.

        A run that was killed before its first one starts again.

        Raises:
            InputError: the checkpoints are damaged or of another run, or
                nothing is left to do.
        """
        if not has_checkpoint(self._folder):
            self._begin_again()
            return
        checkpoint = load_checkpoint(self._folder)
        require_run(self._folder, self._config, checkpoint, self._data)
        require_more(
            self._folder, self._config, checkpoint.step, stop_when_collapsed
        )
        report_damage(checkpoint)
        self._restore(checkpoint)
        set_aside(self._folder, checkpoint.step)

    def run(self, settings: Settings, factor: float | None) -> Outcome:
        """Trains to the end.

        Args:
            settings: how the run is kept and when it ends.
            factor: of the learning rates, with which a run that diverged
                continues from its last checkpoint; None to end it.

        Raises:
            InputError: the run diverged, or a checkpoint cannot be written.
            KeyboardInterrupt: a signal or the time limit stopped it.
        """
        for _ in range(_CONTINUATIONS):
            try:
                return run_training(
                    self._twin,
                    self._config,
                    self._data,
                    self._device,
                    self._game,
                    self._folder,
                    self._step,
                    self._train,
                    settings,
                    self._about,
                )
            except DivergedError as error:
                reason = self._explain(error)
                if factor is None:
                    raise InputError(
                        f"{reason}. What helps: {advice(self._config)}"
                    ) from error
                self._lower_learning_rates(factor)
                print(
                    f"{reason}. The run continues there with learning rates "
                    f"times {self._factor:g}",
                    file=sys.stderr,
                )
        raise InputError(
            f"{reason}. It did so {_CONTINUATIONS} times, with learning rates "
            f"times {self._factor:g} at last. What helps: "
            f"{advice(self._config)}"
        )

    @property
    def _factor(self) -> float:
        return float(self._about.get("learning_rate_factor", 1))

    def _create(self, config: Config) -> Any:
        return self._twin.create(config, self._data, self._device)

    def _begin_again(self) -> None:
        origin = run.load_origin(self._folder)
        self.begin(Path(origin[0]) if origin else None)
        if origin != self.origin:
            raise InputError(
                f"{self._folder} has no checkpoint, and the run of its initial "
                "weights is at another iteration now: retrain from scratch"
            )

    def _restore(self, checkpoint: Checkpoint) -> None:
        self._step, self._about = checkpoint.step, dict(checkpoint.about)
        game = self._create(with_factor(self._config, self._factor))
        self._game = restored(self._twin, game, checkpoint.state, self._folder)
        self._train = self._twin.VARIANTS[self._variant](self._game)

    def _explain(self, error: DivergedError) -> str:
        """What diverged, where first, and which checkpoint is left."""
        checkpoint = load_checkpoint(self._folder)
        self._restore(checkpoint)
        with Console(stderr=True).status(f"{error}: repeated, to find where"):
            place = find_place(
                self._twin,
                self._config,
                self._data,
                self._device,
                self._game,
                self._step,
                error.iteration + 1,
                self._train,
            )
        first = place._asdict() if place else {}
        add_event(self._folder, "diverged", saved=checkpoint.step, **first)
        return (
            f"{error}{_words(place)}; the checkpoint of iteration "
            f"{checkpoint.step} is kept"
        )

    def _lower_learning_rates(self, factor: float) -> None:
        """Writes it into the checkpoint, so that a resumed run keeps it."""
        lower = self._factor * factor
        self._about |= describe(self._config, self._data, lower)
        state = load_checkpoint(self._folder).state
        save_checkpoint(self._folder, self._step, state, self._about)
        add_event(
            self._folder,
            "continued",
            iteration=self._step,
            learning_rate_factor=lower,
        )
        self._restore(load_checkpoint(self._folder))


def _words(place: Place | None) -> str:
    if place is None:
        return " (a repetition from the checkpoint stayed finite)"
    return f" (first {place})"
