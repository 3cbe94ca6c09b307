"""Weights alone: a PyTorch file of a classifier, and Flax's in Orbax.

Everything up to ``check`` is what a user has already.
"""

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import linen
from orbax.checkpoint import StandardCheckpointer
from torch import nn

CHANNELS, SIZE, CLASSES = 3, 4, 10


class Classifier(nn.Module):
    """In PyTorch: a convolution, a norm, a dense layer."""

    def __init__(self):
        """Builds the layers."""
        super().__init__()
        self.features = nn.Conv2d(1, CHANNELS, 3, padding=1)
        self.norm = nn.BatchNorm2d(CHANNELS)
        self.output = nn.Linear(CHANNELS * SIZE * SIZE, CLASSES)

    def forward(self, x):
        """Logits of images [m, 1, height, width]."""
        h = torch.relu(self.norm(self.features(x)))
        return self.output(h.flatten(1))


class FlaxClassifier(linen.Module):
    """In Flax linen, in evaluation."""

    @linen.compact
    def __call__(self, x):
        """Logits of images [m, height, width, 1]."""
        h = linen.Conv(CHANNELS, (3, 3), padding=1, name="features")(x)
        norm = linen.BatchNorm(use_running_average=True, name="norm")
        h = jax.nn.relu(norm(h))
        return linen.Dense(CLASSES, name="output")(h.reshape(len(h), -1))


def torch_classifier():
    """A classifier with statistics, as after some training."""
    torch.manual_seed(0)
    model = Classifier().double()
    with torch.no_grad():
        model(2 + torch.randn(16, 1, SIZE, SIZE, dtype=torch.float64))
    return model.eval()


def convolution(weight):
    """Flax's kernel of a convolution."""
    return weight.transpose(2, 3, 1, 0)


def after_image(weight):
    """Flax's kernel of a dense layer after a flattened image."""
    rows = weight.reshape(CLASSES, CHANNELS, SIZE, SIZE)
    return rows.transpose(2, 3, 1, 0).reshape(-1, CLASSES)


def statistics(state):
    """Flax's batch statistics."""
    return {
        "mean": state["norm.running_mean"],
        "var": state["norm.running_var"],
    }


def convert(model):
    """The variables of Flax."""
    state = {k: v.numpy() for k, v in model.state_dict().items()}
    params = {
        "features": {
            "kernel": convolution(state["features.weight"]),
            "bias": state["features.bias"],
        },
        "norm": {
            "scale": state["norm.weight"],
            "bias": state["norm.bias"],
        },
        "output": {
            "kernel": after_image(state["output.weight"]),
            "bias": state["output.bias"],
        },
    }
    return {"params": params, "batch_stats": {"norm": statistics(state)}}


def save(folder):
    """Writes both checkpoints."""
    model = torch_classifier()
    torch.save(model.state_dict(), folder / "classifier.pt")
    variables = jax.tree.map(np.ascontiguousarray, convert(model))
    with StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "classifier", variables)


def check(folder):
    """Checks the files: all that a user adds to what stands above."""
    from parity_tests import check_checkpoint, flattened

    return check_checkpoint(
        folder / "classifier.pt",
        folder / "classifier",
        layouts={"model/output/kernel": flattened(CHANNELS, SIZE, SIZE)},
    )


def check_network(count=4):
    """Checks the networks, whose weights are copied here."""
    from parity_tests import check_forward, flattened, transposed

    rng = np.random.default_rng(0)
    images = rng.normal(size=(count, SIZE, SIZE, 1))
    model = FlaxClassifier()
    return check_forward(
        torch_classifier(),
        model.apply,
        (images,),
        weights=model.init(jax.random.key(0), jnp.array(images)),
        layouts={
            "input/0": transposed(0, 2, 3, 1),
            "model/output/kernel": flattened(CHANNELS, SIZE, SIZE),
        },
    )
