"""The description of one experiment: every choice that a run depends on."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from experiment.validity import require_valid


def _about(default: Any, text: str) -> Any:
    """A field with its default and the sentence that ``--help`` shows."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Config:
    """Every choice of an experiment; ``recipes`` holds the named ones.

    Letters of the paper (Goodfellow et al. 2014, Algorithm 1): ``k`` steps of
    D for one of G, ``batch_size`` is m, ``noise_size`` the dimension of z.

    Raises:
        InputError: a value is out of its range; the message names it, the
            range or the known values.

    Example:
        >>> Config(k=0)
        Traceback (most recent call last):
        ...
        experiment.errors.InputError: k is 0: it must be at least 1
    """

    recipe: str = _about("mlp", "name of the recipe that gives the defaults")

    # Data
    data: Literal["mnist5k", "mnist", "fashion-mnist", "folder", "gaussian"] = (
        _about(
            "mnist5k",
            "data set; mnist5k needs no download, folder is of your own "
            "images, cropped to squares",
        )
    )
    image_size: int = _about(
        64, "folder: pixels along a side of an image, from 32 to 256"
    )
    channels: int = _about(
        3, "folder: channels of an image, 3 in colour or 1 in grey"
    )

    # The game: Algorithm 1
    updates: Literal["alternating", "simultaneous"] = _about(
        "alternating",
        "alternating: k steps of D, then one of G (Algorithm 1); simultaneous: "
        "both from the same old weights and fake batch (the authors' code)",
    )
    loss: Literal["saturating", "non-saturating", "hinge", "least-squares"] = (
        _about(
            "non-saturating",
            "the paper's, with log(1 - D(G(z))) or -log D(G(z)) for G (section "
            "3), hinge (Miyato et al. 2018) or least-squares (Mao et al. 2017)",
        )
    )
    k: int = _about(1, "discriminator steps for one generator step")
    batch_size: int = _about(100, "m, images in a minibatch (mnist.yaml: 100)")
    steps: int = _about(12_000, "iterations of Algorithm 1 in the whole run")
    noise: Literal["uniform", "normal"] = _about(
        "uniform", "the prior p(z), centred on 0"
    )
    noise_scale: float = _about(
        3**0.5,
        "half-width of a uniform z (mnist.yaml: sqrt 3), or standard deviation "
        "of a normal z",
    )
    noise_size: int = _about(100, "dimension of z (mnist.yaml: 100)")

    # The two networks
    network: Literal["mlp", "maxout", "dcgan"] = _about(
        "mlp", "architecture of G and D; maxout is mlp with maxout units in D"
    )
    generator_hidden: tuple[int, ...] = _about(
        (1200, 1200), "hidden units of G, by layer (mnist.yaml: 1200 1200)"
    )
    discriminator_hidden: tuple[int, ...] = _about(
        (240, 240), "hidden units of D, by layer (mnist.yaml: 240, maxout)"
    )
    discriminator_dense: tuple[int, ...] = _about(
        (),
        "dcgan: hidden units of D between its convolutions and its output, by "
        "layer; none by default",
    )
    pieces: int = _about(
        5,
        "maxout: affine maps, of which a unit of D is the largest "
        "(mnist.yaml: 5)",
    )
    slope: float = _about(
        0.2, "slope of D's leaky ReLU below zero; 0 makes it a ReLU"
    )
    output: Literal["sigmoid", "tanh", "linear"] = _about(
        "sigmoid", "G's last activation; it sets the range of the data too"
    )
    keep_input: float = _about(
        1.0,
        "dropout in D: keep probability of the input (mnist.yaml: 0.8)",
    )
    keep_hidden: float = _about(
        1.0, "dropout in D: keep probability of hidden units (mnist.yaml: 0.5)"
    )

    # Initial weights
    initializer: Literal["normal", "uniform", "fan-in"] = _about(
        "uniform",
        "initial weights: normal or uniform (mnist.yaml) of the scales below, "
        "or uniform on +-1/sqrt(inputs), biases too",
    )
    generator_scale: float = _about(
        0.05,
        "standard deviation or half-width of G's initial weights (mnist.yaml: "
        ".05)",
    )
    discriminator_scale: float = _about(
        0.05, "standard deviation or half-width of D's initial weights"
    )
    bias: float = _about(0.0, "initial biases, unless fan-in draws them")
    output_bias: Literal["mean", "constant"] = _about(
        "constant",
        "initial output bias of G: logit of the mean image (mnist.yaml), or "
        "bias",
    )

    # The gradient-based rule
    optimizer: Literal["adam", "sgd", "classical-momentum"] = _about(
        "adam",
        "adam, sgd with momentum as both libraries have it, or "
        "classical-momentum, v = mu v - lr g, p = p + v (mnist.yaml)",
    )
    learning_rate: float = _about(
        2e-4, "learning rate of D, and of G if it has no other"
    )
    generator_learning_rate: float | None = _about(
        None, "learning rate of G, where it is not that of D"
    )
    decay: float = _about(
        1.0,
        "factor of both learning rates from one iteration to the next "
        "(mnist.yaml: 1/1.000004)",
    )
    min_learning_rate: float = _about(
        0.0, "what no learning rate falls below (mnist.yaml: 1e-6)"
    )
    b1: float = _about(0.5, "adam: first-moment decay rate")
    b2: float = _about(0.999, "adam: second-moment decay rate")
    momentum: float = _about(
        0.5, "sgd: momentum; classical-momentum: in epoch 1 (mnist.yaml: 0.5)"
    )
    final_momentum: float = _about(
        0.7, "classical-momentum: that of the last epochs (mnist.yaml: 0.7)"
    )
    saturation_epoch: int = _about(
        250,
        "classical-momentum: the epoch, from 1, in which its linear rise ends "
        "(mnist.yaml: 250)",
    )
    epoch_steps: int = _about(
        500,
        "classical-momentum: iterations of an epoch (mnist.yaml: 50,000 "
        "images by 100)",
    )

    # How it runs
    seed: int = _about(0, "seed of the weights and of the stream")
    precision: Literal["float32", "float64"] = _about(
        "float32", "of all numbers but compute's; float64 is for verification"
    )
    compute: Literal["full", "bfloat16"] = _about(
        "full",
        "what the networks compute in: full precision, or bfloat16, faster "
        "where the hardware multiplies it (activations and samples are "
        "rounded to 8 bits; weights, losses and optimizers stay in float32)",
    )
    stream: Literal["shared", "device"] = _about(
        "shared",
        "random numbers: NumPy's, the same for both twins, "
        "or the framework's own on the device, faster",
    )
    sample_every: int = _about(
        500, "iterations between sample images, and between checkpoints"
    )

    def __post_init__(self):
        """Checks every field against its type, choices and range."""
        require_valid(self)

    def of_any_run(self) -> "Config":
        """The same game; seed, length and sampling interval are fixed.

        What is compiled for one run then serves all.
        """
        return replace(self, seed=0, steps=1, sample_every=1)

    @property
    def dtype(self) -> np.dtype:
        """NumPy's type for ``precision``."""
        return np.dtype(self.precision)

    @property
    def compute_dtype(self) -> str:
        """The name of the type that the networks compute in."""
        return self.precision if self.compute == "full" else self.compute
