"""The description of one experiment: every choice that a run depends on."""

from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args, get_origin

import numpy as np

# Sizes beyond it are a slip: they would fill any memory.
_LARGEST = 100_000
# The losses whose D(x) is a sigmoid.
PAPER_LOSSES = ("saturating", "non-saturating")


class InputError(ValueError):
    """A value that a user gave and can mend: one line, the value, the fix."""


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


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
        experiment.config.InputError: k is 0: it must be at least 1
    """

    recipe: str = _about("mlp", "name of the recipe that gives the defaults")

    # Data
    data: Literal["mnist5k", "mnist", "fashion-mnist", "folder", "gaussian"] = (
        _about(
            "mnist5k",
            "data set; mnist5k needs no download, folder is of your own "
            "pictures, cut to 64x64 in colour",
        )
    )

    # The game: Algorithm 1
    updates: Literal["alternating", "simultaneous"] = _about(
        "alternating",
        "alternating: k steps of D, then one of G (Algorithm 1); or both at "
        "once from the same old weights and fake batch (the authors' code)",
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
        "half-width of a uniform z (mnist.yaml: sqrt 3), deviation of a normal",
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
        1.0, "dropout in D: share of input pixels kept (mnist.yaml: 0.8)"
    )
    keep_hidden: float = _about(
        1.0, "dropout in D: share of hidden units kept (mnist.yaml: 0.5)"
    )

    # Initial weights
    initializer: Literal["normal", "uniform", "fan-in"] = _about(
        "uniform",
        "first weights: normal or uniform (mnist.yaml) of the scales below, "
        "or uniform on +-1/sqrt(inputs), biases too",
    )
    generator_scale: float = _about(
        0.05, "deviation or half-width of G's first weights (mnist.yaml: .05)"
    )
    discriminator_scale: float = _about(
        0.05, "deviation or half-width of D's first weights"
    )
    bias: float = _about(0.0, "first biases, unless fan-in draws them")
    output_bias: Literal["mean", "constant"] = _about(
        "constant",
        "G's first output bias: logit of the mean image (mnist.yaml), or bias",
    )

    # The gradient-based rule
    optimizer: Literal["adam", "sgd", "classical-momentum"] = _about(
        "adam",
        "adam, sgd with momentum as both libraries have it, or "
        "classical-momentum, v = mu v - rate g, p = p + v (mnist.yaml)",
    )
    learning_rate: float = _about(2e-4, "step size of both players")
    generator_learning_rate: float | None = _about(
        None, "step size of G, where it is not that of D"
    )
    decay: float = _about(
        1.0,
        "factor of both step sizes from one iteration to the next "
        "(mnist.yaml: 1/1.000004)",
    )
    min_learning_rate: float = _about(
        0.0, "what no step size falls below (mnist.yaml: 1e-6)"
    )
    b1: float = _about(0.5, "adam: decay of the mean gradient")
    b2: float = _about(0.999, "adam: decay of the mean squared gradient")
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
        "float32", "of all numbers but compute's; float64 is for proofs"
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
        500, "iterations between two pictures and checkpoints"
    )

    def __post_init__(self):
        """Checks every field against its type, choices and range."""
        for item in fields(self):
            value = getattr(self, item.name)
            known = get_args(item.type)
            if get_origin(item.type) is Literal and value not in known:
                raise InputError(
                    f"{item.name.replace('_', '-')} {value!r} is unknown; "
                    f"known: {', '.join(known)}"
                )
            if item.type is int:
                self._require(item.name, _is_whole(value), "a whole number")
            if item.type in (float, float | None) and value is not None:
                self._require(item.name, _is_number(value), "a number")
        for name in ("k", "batch_size", "noise_size"):
            value = getattr(self, name)
            self._require(name, value >= 1, "at least 1")
            self._require(name, value <= _LARGEST, f"at most {_LARGEST:,}")
        self._require("pieces", 1 <= self.pieces <= 1000, "in [1, 1000]")
        for name in ("steps", "sample_every", "epoch_steps"):
            value = getattr(self, name)
            self._require(name, value >= 1, "at least 1")
            self._require(name, value <= 10**9, "at most 1,000,000,000")
        for name, fewest in (
            ("generator_hidden", 1),
            ("discriminator_hidden", 1),
            ("discriminator_dense", 0),
        ):
            sizes = getattr(self, name)
            self._require(
                name,
                isinstance(sizes, tuple)
                and len(sizes) >= fewest
                and all(_is_whole(n) and 1 <= n <= _LARGEST for n in sizes),
                f"whole numbers from 1 to {_LARGEST:,}",
            )
        if self.discriminator_dense and self.network != "dcgan":
            raise InputError(
                f"discriminator-dense belongs to network dcgan, not "
                f"{self.network}: give all sizes to discriminator-hidden"
            )
        scales = ("generator_scale", "discriminator_scale", "noise_scale")
        rates = ["learning_rate"]
        if self.generator_learning_rate is not None:
            rates.append("generator_learning_rate")
        for name in (*rates, *scales):
            value = getattr(self, name)
            self._require(name, 0 < value < np.inf, "a positive number")
        self._require(
            "saturation_epoch",
            2 <= self.saturation_epoch <= 10**9,
            "from 2 to 1,000,000,000",
        )
        self._require(
            "min_learning_rate",
            0 <= self.min_learning_rate <= min(getattr(self, n) for n in rates),
            "from 0 to the smaller step size",
        )
        for name in ("b1", "b2", "momentum", "final_momentum", "slope"):
            value = getattr(self, name)
            self._require(name, 0 <= value < 1, "in [0, 1)")
        for name in ("keep_input", "keep_hidden", "decay"):
            value = getattr(self, name)
            self._require(name, 0 < value <= 1, "in (0, 1]")
        for name in scales:
            value = getattr(self, name)
            self._require(name, value <= 1000, "at most 1000")
        self._require("bias", abs(self.bias) <= 1000, "in [-1000, 1000]")
        self._require("seed", 0 <= self.seed < 2**32, "in [0, 2^32)")
        side = 64 if self.data == "folder" else 28
        depths = len(self.generator_hidden), len(self.discriminator_hidden)
        if self.network == "dcgan" and any(side % 2**n for n in depths):
            raise InputError(
                f"network dcgan halves {side}x{side} pixels in each layer of "
                f"D and doubles them in each of G: give at most "
                f"{(side & -side).bit_length() - 1} sizes to generator-hidden "
                "and to discriminator-hidden"
            )
        if self.network == "dcgan" and self.keep_input * self.keep_hidden < 1:
            raise InputError(
                "network dcgan has no dropout: leave keep-input and "
                "keep-hidden at 1"
            )
        if self.output_bias == "mean" and self.network == "dcgan":
            raise InputError(
                "output-bias mean has a value for each pixel: it needs "
                "network mlp or maxout, not dcgan"
            )
        if self.output_bias == "mean" and self.output != "sigmoid":
            raise InputError(
                f"output-bias mean is a logit: it needs output sigmoid, "
                f"not {self.output}"
            )
        if self.compute == "bfloat16" and self.precision != "float32":
            raise InputError(
                f"compute bfloat16 goes with precision float32, not "
                f"{self.precision}: leave compute at full"
            )
        if self.updates == "simultaneous" and self.loss not in PAPER_LOSSES:
            raise InputError(
                f"loss {self.loss} goes with updates alternating: simultaneous "
                "is the authors' code, which halves D's loss; take loss "
                f"{' or '.join(PAPER_LOSSES)} with it"
            )
        if self.updates == "simultaneous" and self.k != 1:
            raise InputError(
                f"k is {self.k}: with updates simultaneous both players take "
                "one step; leave k at 1, or take updates alternating"
            )

    def _require(self, name: str, holds: bool, what: str) -> None:
        if not holds:  # also for nan, which fails every comparison
            value = getattr(self, name)
            raise InputError(
                f"{name.replace('_', '-')} is {value}: it must be {what}"
            )

    def of_any_run(self) -> "Config":
        """The same game in a run of no certain seed, length and pictures.

        What is compiled for one run serves all.
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
