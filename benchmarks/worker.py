"""A process that trains one twin, a block at a time, when it is told to.

``python -m benchmarks.worker TWIN RECIPE ITERATIONS`` prepares the batches
on the device, compiles, and then answers every line on stdin with the
seconds that one block of iterations took. Each twin has a process for
itself, so that neither's threads or memory are in the other's way.
"""

import importlib
import sys
import time

import numpy as np

from experiment import data as datasets
from experiment.recipes import recipe
from experiment.stream import Stream


def main(twin_name: str, recipe_name: str, iterations: int) -> None:
    """Serves blocks until stdin ends."""
    twin = importlib.import_module(twin_name)
    config = recipe(recipe_name)
    data = datasets.load(config)
    device = twin.select_device("cpu", config)
    batches = twin.place(Stream(config, data).batches(0, iterations), device)
    game, metrics = twin.train(twin.create(config, data, device), batches)
    np.asarray(metrics.generator_loss)  # waits for the device
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        game, metrics = twin.train(game, batches)
        losses = np.asarray(metrics.generator_loss)
        seconds = time.perf_counter() - start
        assert np.isfinite(losses).all()
        print(seconds, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
