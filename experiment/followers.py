"""What the processes of a run do that neither write nor speak."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from experiment.chunks import DivergedError, iterate, require_finite
from experiment.config import Config
from experiment.peers import Peers
from experiment.pixels import Data
from experiment.signals import StopRequest


def follow(
    twin: ModuleType,
    config: Config,
    data: Data,
    device: Any,
    game: Any,
    step: int,
    train: Callable,
    peers: Peers,
) -> None:
    """Trains along with process 0, until that has its last checkpoint.

    Args:
        twin: the module that the game is of.
        config: the experiment.
        data: its training set.
        device: what ``spread`` gave.
        game: the game after iteration ``step``.
        step: iterations so far.
        train: a variant of the twin's ``train``.
        peers: all processes.
    """
    stop = StopRequest(peers.heard(lambda text: None), None)
    chunks = iterate(twin, config, data, device, game, step, train)
    try:
        with stop:
            for game, history, _ in chunks:
                step = int(history["step"][-1])
                agreed = peers.agree(stop, step == config.steps)
                if any(agreed) or step % config.sample_every == 0:
                    require_finite(twin.to_numpy(game), step)
                if agreed.ends or agreed.stops:
                    break
            peers.leave()
    except DivergedError:  # in all processes; process 0 says it
        peers.leave()
