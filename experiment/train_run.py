"""A run from its first game, or its last checkpoint, to its end."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

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
)
from experiment.chunks import DivergedError
from experiment.config import Config
from experiment.divergence import Place, advice, find_place, with_factor
from experiment.errors import InputError
from experiment.events import add_event
from experiment.followers import follow
from experiment.peers import Peers
from experiment.pixels import Data
from experiment.restore import restored, with_weights
from experiment.resume import require_more
from experiment.training import Outcome, Settings, run_training

_CONTINUATIONS = 10  # of one command, each with lower learning rates


class Training:
    """The run of a folder: where it is, and how it continues.

    Attributes:
        origin: the run, and its iteration, of the initial weights, if they
            are of another run.
        step: iterations so far.
        game: after them.
    """

    def __init__(
        self,
        twin: ModuleType,
        config: Config,
        data: Data,
        device: Any,
        variant: str,
        folder: Path,
        peers: Peers,
    ):
        """Takes what does not change.

        Args:
            twin: the module that trains.
            config: of the run folder.
            data: its training set.
            device: what ``spread`` gave.
            variant: a name of the twin's ``VARIANTS``.
            folder: of the run.
            peers: all processes of the run.
        """
        self._twin, self._config, self._data = twin, config, data
        self._device, self._variant, self._folder = device, variant, folder
        self._peers = peers
        self.origin: tuple[str, int] | None = None

    def begin(self, origin: Path | None) -> None:
        """Starts at iteration 0.

        Args:
            origin: run folder of the initial weights; None to draw them.

        Raises:
            InputError: the origin has no checkpoint, or other networks.
        """
        self.step = 0
        self._about: dict[str, str] = {}
        self.game = self._create(self._config)
        if origin:
            checkpoint = self._load(origin)
            self.origin = str(origin), checkpoint.step
            self.game = with_weights(
                self._twin, self.game, checkpoint.state, origin
            )
        self._train = self._twin.VARIANTS[self._variant](self.game)

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
        checkpoint = self._load(self._folder)
        require_run(self._folder, self._config, checkpoint, self._data)
        require_more(
            self._folder, self._config, checkpoint.step, stop_when_collapsed
        )
        self._restore(checkpoint)

    def follow(self) -> None:
        """Trains along with the process that writes."""
        follow(
            self._twin,
            self._config,
            self._data,
            self._device,
            self.game,
            self.step,
            self._train,
            self._peers,
        )

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
                    self.game,
                    self._folder,
                    self.step,
                    self._train,
                    settings,
                    self._about,
                    self._peers,
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
        self.step, self._about = checkpoint.step, dict(checkpoint.about)
        game = self._create(with_factor(self._config, self._factor))
        self.game = restored(self._twin, game, checkpoint.state, self._folder)
        self._train = self._twin.VARIANTS[self._variant](self.game)

    def _explain(self, error: DivergedError) -> str:
        """What diverged, where first, and which checkpoint is left."""
        checkpoint = load_checkpoint(self._folder)
        self._restore(checkpoint)
        place, words = None, ""
        if self._peers.place.processes == 1:  # the others have ended
            place = self._find_place(error)
            words = _words(place)
        first = place._asdict() if place else {}
        add_event(self._folder, "diverged", saved=checkpoint.step, **first)
        return (
            f"{error}{words}; the checkpoint of iteration {checkpoint.step} is "
            "kept"
        )

    def _find_place(self, error: DivergedError) -> Place | None:
        with Console(stderr=True).status(f"{error}: repeated, to find where"):
            return find_place(
                self._twin,
                self._config,
                self._data,
                self._device,
                self.game,
                self.step,
                error.iteration + 1,
                self._train,
            )

    def _load(self, folder: Path) -> Checkpoint:
        checkpoint = load_checkpoint(folder)
        if self._peers.writes:
            report_damage(checkpoint)
        return checkpoint

    def _lower_learning_rates(self, factor: float) -> None:
        """Writes it into the checkpoint, so that a resumed run keeps it."""
        lower = self._factor * factor
        self._about |= describe(self._config, self._data, lower)
        state = load_checkpoint(self._folder).state
        save_checkpoint(self._folder, self.step, state, self._about)
        add_event(
            self._folder,
            "continued",
            iteration=self.step,
            learning_rate_factor=lower,
        )
        self._restore(load_checkpoint(self._folder))


def _words(place: Place | None) -> str:
    if place is None:
        return " (a repetition from the checkpoint stayed finite)"
    return f" (first {place})"
