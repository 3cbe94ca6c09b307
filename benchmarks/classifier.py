"""Trains the digit classifier that judges samples; PyTorch, three minutes.

Trains on the last 50,000 of MNIST's training images, so that the 5,000
embedded digits, all among the first 6,000, stay unseen; tests once, at the
end, on the 10,000 test images, by the NumPy forward pass that is shipped.
Writes the weights, and the test accuracy next to them.
"""

import argparse
import json
import sys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from safetensors.numpy import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad

from experiment.classifier import WEIGHTS, classify
from experiment.data import load_splits
from experiment.machine import describe_machine
from experiment.parser import Parser, add_data, run_command

TRAINED = 50_000
EPOCHS, BATCH, LEARNING_RATE = 15, 100, 2e-3


def main(arguments: list[str] | None = None) -> int:
    """Trains, tests and writes; returns the exit status."""
    parser = Parser(
        prog="python -m benchmarks.classifier",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_data(parser, required=True)
    options = parser.parse_args(arguments)
    return run_command(lambda: _train(options))


def _train(options: argparse.Namespace) -> int:
    splits = load_splits(options.data_dir, options.download)
    images, labels = (
        np.concatenate(pair)[-TRAINED:]
        for pair in zip(splits.train, splits.validation, strict=True)
    )
    network = train_classifier(images, labels)
    save_file(_to_numpy(network), WEIGHTS)
    test = splits.test
    right = (classify(test.images).digits == test.labels).mean()
    result = {
        "trained_on": f"the last {TRAINED:,} of MNIST's training images",
        "tested_on": f"MNIST's {len(test.labels):,} test images",
        "test_accuracy": round(float(right), 4),
        "parameters": sum(p.numel() for p in network.parameters()),
        "epochs": EPOCHS,
        "machine": describe_machine(),
    }
    metadata = {"test_accuracy": str(result["test_accuracy"])}
    save_file(_to_numpy(network), WEIGHTS, metadata)
    path = WEIGHTS.with_suffix(".json")
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"test accuracy {right:.2%}: {WEIGHTS}, {path}")
    return 0


def train_classifier(
    images: NDArray[np.float32], labels: NDArray[np.integer]
) -> nn.Module:
    """The network after ``EPOCHS`` passes over the images, each shifted.

    Adam, with a learning rate that decays to 0 along a cosine. Shifts by up to
    two pixels each way are the only augmentation.
    """
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 5, stride=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 5, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 4 * 32, 64),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(64, 10),
    )
    x = torch.tensor(images).permute(0, 3, 1, 2)
    y = torch.tensor(labels, dtype=torch.long)
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    steps = EPOCHS * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in track(range(EPOCHS), "epochs"):
        for rows in torch.randperm(len(x)).split(BATCH):
            loss = cross_entropy(network(_shifted(x[rows])), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def _shifted(x: Tensor) -> Tensor:
    """A batch, all of it shifted by up to two pixels each way."""
    down, right = torch.randint(5, (2,)).tolist()
    return pad(x, (2, 2, 2, 2))[..., down : down + 28, right : right + 28]


def _to_numpy(network: Any) -> dict[str, NDArray[np.float32]]:
    """The weights in the layouts of the NumPy forward pass."""
    layers = {
        "convolution_0": network[0],
        "convolution_1": network[2],
        "hidden": network[5],
        "output": network[8],
    }
    arrays = {}
    for name, layer in layers.items():
        kernel = layer.weight.detach().numpy()
        if kernel.ndim == 4:  # out, in, h, w: to the windows' h, w, in
            kernel = kernel.transpose(0, 2, 3, 1)
        if name == "hidden":  # its input came as channels, h, w
            kernel = kernel.reshape(-1, 32, 4, 4).transpose(0, 2, 3, 1)
        kernel = kernel.reshape(len(kernel), -1).T
        arrays[f"{name}/kernel"] = np.ascontiguousarray(kernel)
        arrays[f"{name}/bias"] = layer.bias.detach().numpy()
    return arrays


if __name__ == "__main__":
    sys.exit(main())
