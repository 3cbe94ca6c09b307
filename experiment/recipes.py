"""The named experiments. ``recipe("digits")`` is the one to start with."""

from dataclasses import replace
from typing import Any, NamedTuple

from experiment.config import Config
from experiment.errors import InputError

# The paper's MLP on 5,000 digits: the authors' generator and noise
# (mnist.yaml), their remedies for a collapse (output bias from the mean image,
# dropout in D), with Adam in place of momentum.
_MLP = Config(
    recipe="mlp",
    keep_hidden=0.5,
    initializer="normal",
    output_bias="mean",
    learning_rate=5e-4,
)

# The smallest one, to read and to play with: one hidden layer each. Left
# running beyond 50,000 iterations it collapses, which is worth seeing.
_LECTURE = Config(
    recipe="lecture",
    batch_size=64,
    steps=20_000,
    noise_scale=1.0,
    generator_hidden=(128,),
    discriminator_hidden=(128,),
    slope=0.0,
    initializer="normal",
    bias=0.1,
    learning_rate=1e-3,
    b1=0.9,
)

# Figure 1 of the paper: one-dimensional data, where D can be drawn. D learns
# more slowly than G and both slow down tenfold, so that they come to rest.
_FIGURE1 = Config(
    recipe="figure1",
    data="gaussian",
    batch_size=512,
    steps=20_000,
    output="linear",
    noise_scale=1.0,
    noise_size=1,
    generator_hidden=(32, 32),
    discriminator_hidden=(32, 32),
    initializer="fan-in",
    optimizer="sgd",
    momentum=0.0,
    learning_rate=0.005,
    generator_learning_rate=0.15,
    decay=0.1 ** (1 / 20_000),
)

# Radford et al. 2016 (DCGAN), cut down from 64x64 to 28x28. Initial weights
# have standard deviation .05 in place of .02: with .02 a rounding error grows a
# thousandfold in the first hundred iterations, and the twins could not be
# compared as well.
_DCGAN = Config(
    recipe="dcgan",
    network="dcgan",
    batch_size=64,
    steps=4_000,
    noise="normal",
    noise_scale=1.0,
    generator_hidden=(128, 64),
    discriminator_hidden=(64, 128),
    output="tanh",
    initializer="normal",
    sample_every=200,
)

# A DCGAN small enough to make digits in a minute or two on a CPU, and from each
# of the starts that were tried. The dense layer lets D judge the whole digit,
# not only its strokes: without it the Fréchet distance stays near 50. Adam
# forgets a gradient after one step (b1 0) and its size within a hundred
# iterations (b2 .99): no step is longer than ten learning rates, however
# suddenly D's gradients grow. G learns faster than D (two time scales, Heusel
# et al. 2017), so that D was not certain in these iterations.
_DIGITS = replace(
    _DCGAN,
    recipe="digits",
    steps=2_500,
    noise_size=20,
    generator_hidden=(32, 16),
    discriminator_hidden=(16, 32),
    discriminator_dense=(128,),
    discriminator_scale=0.1,
    learning_rate=1e-3,
    generator_learning_rate=2e-3,
    b1=0.0,
    b2=0.99,
    sample_every=100,
)

# The same at its original size and with its original initial weights, in
# colour, for a folder of images.
_DCGAN64 = replace(
    _DCGAN,
    recipe="dcgan64",
    data="folder",
    batch_size=128,
    steps=20_000,
    generator_hidden=(512, 256, 128, 64),
    discriminator_hidden=(64, 128, 256, 512),
    generator_scale=0.02,
    discriminator_scale=0.02,
)

# The authors' MNIST experiment as their code has it (mnist.yaml, and
# AdversaryCost2 of github.com/goodfeli/adversarial): the updates of both
# players are simultaneous. 125,000 iterations are 250 epochs of its 50,000
# images.
_PAPER = Config(
    recipe="paper",
    data="mnist",
    updates="simultaneous",
    steps=125_000,
    network="maxout",
    keep_input=0.8,
    keep_hidden=0.5,
    discriminator_scale=0.005,
    output_bias="mean",
    optimizer="classical-momentum",
    learning_rate=0.1,
    decay=1 / 1.000004,
    min_learning_rate=1e-6,
    sample_every=2_500,
)

# The same players by the text of the paper: k steps of D, then one of G, with
# its own noise and masks, on the minimax value.
_PAPER_ALGORITHM1 = replace(
    _PAPER,
    recipe="paper-algorithm1",
    updates="alternating",
    loss="saturating",
)

DEFAULT = "digits"
RECIPES = {
    config.recipe: config
    for config in (
        _DIGITS,
        _MLP,
        _LECTURE,
        _FIGURE1,
        _DCGAN,
        _DCGAN64,
        _PAPER,
        _PAPER_ALGORITHM1,
    )
}


class Starts(NamedTuple):
    """How many starts of a recipe were tried, and how many failed.

    Attributes:
        recipe: its name.
        tried: runs of both twins.
        collapsed: those that the watch named.
        diverged: those whose numbers became infinite or not a number.
        iterations: of each.
    """

    recipe: str
    tried: int
    collapsed: int
    diverged: int
    iterations: int

    def __str__(self) -> str:
        """In one sentence."""
        failed = f"{self.collapsed} collapsed"
        if self.diverged:
            failed += f" and {self.diverged} diverged"
        return (
            f"Of {self.tried} runs of recipe {self.recipe} from other starts, "
            f"{failed} within {self.iterations:,} iterations"
        )


# As ``python -m benchmarks stability`` counted them.
STARTS = {
    of.recipe: of
    for of in (
        Starts("digits", 60, 0, 0, 2_500),
        Starts("paper", 20, 0, 0, 5_000),
        Starts("paper-algorithm1", 20, 1, 19, 5_000),
    )
}


def starts_of(config: Config) -> Starts | None:
    """The starts that were tried of exactly this experiment, if any."""
    known = RECIPES.get(config.recipe)
    same = known and known.of_any_run() == config.of_any_run()
    return STARTS.get(config.recipe) if same else None


def recipe(name: str, **changes: Any) -> Config:
    """The named config, with any of its fields changed.

    Raises:
        InputError: no recipe has this name, or a changed value is invalid.

    Example:
        >>> recipe("lecture", k=2).generator_hidden
        (128,)
    """
    if name not in RECIPES:
        raise InputError(
            f"recipe {name!r} is unknown; known: {', '.join(RECIPES)}"
        )
    return replace(RECIPES[name], **changes)
