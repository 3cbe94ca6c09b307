"""A process of a run without a framework: what its peers do is tested by it.

``python -m parity_tests.peers_process RANK PROCESSES PORT [WHAT]`` takes
chunks of 20 ms until one process ends the run.
"""

import sys
import time
from multiprocessing.connection import Client, Connection, Listener
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiment import peers as module
from experiment.config import Config
from experiment.errors import InputError
from experiment.peers import Peers
from experiment.processes import Place
from experiment.signals import StopRequest

ENDING = "ends", "reads long"  # its chunk 9 is the last
_KEY = b"peers"


def _gather(rank: int, processes: int, port: int) -> Any:
    """Rank 0 collects the bytes of all, and gives them to all."""
    address = "127.0.0.1", port
    links: list[Connection] = []
    if rank == 0:
        listener = Listener(address, authkey=_KEY)
        links = [listener.accept() for _ in range(processes - 1)]
        ranks = [link.recv() for link in links]
        links = [links[ranks.index(r)] for r in range(1, processes)]
    else:
        for _ in range(500):
            try:
                links = [Client(address, authkey=_KEY)]
                break
            except ConnectionRefusedError:
                time.sleep(0.02)
        links[0].send(rank)

    def gather(numbers: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if rank:
            links[0].send(numbers)
            return links[0].recv()
        rows = np.stack([numbers, *(link.recv() for link in links)])
        for link in links:
            link.send(rows)
        return rows

    return gather


def main(rank: int, processes: int, port: int, what: str) -> None:
    """Takes part in a run, in which ``what`` goes wrong."""
    module.HANG_SECONDS = 1.0
    twin: Any = SimpleNamespace(gather=_gather(rank, processes, port))
    peers = Peers(twin, Place(rank, processes))
    last = rank == processes - 1

    def load() -> None:
        if what == "reads long":
            with peers.patient():
                time.sleep(2 * module.HANG_SECONDS)
        if what == "all fail" or (what == "fails" and last):
            raise InputError("there are no data")

    def compare() -> None:
        config = Config(seed=int(what == "settings" and last))
        data = np.full(3, float(what == "data" and last))
        state = {"w": np.full(3, float(what == "weights" and last))}
        peers.require_same(config, data, state)

    peers.together(load)
    peers.together(compare)
    stop = StopRequest(peers.heard(lambda text: None), None)
    step = 0
    try:
        with stop:
            print("started", flush=True)
            while True:
                time.sleep(0.02)
                step += 1
                ends = what in ENDING and last and step == 9
                agreed = peers.agree(stop, ends)
                if agreed.ends or agreed.stops:
                    break
        peers.leave()
    except (EOFError, OSError) as error:
        peers.explain(error)
    print(f"step {step}, signal {stop.number}", flush=True)


if __name__ == "__main__":
    _rank, _processes, _port, _what = sys.argv[1:]
    main(int(_rank), int(_processes), int(_port), _what)
