"""What of a config makes its networks."""

from typing import NamedTuple

import numpy as np

from experiment.config import Config


class Architecture(NamedTuple):
    """The fields of a config that its networks depend on.

    Games that differ in nothing else share their networks' compiled programs.

    Attributes:
        network: mlp, maxout or dcgan.
        generator_hidden: sizes of G's hidden layers.
        discriminator_hidden: sizes of D's.
        discriminator_dense: sizes of D's dense layers after convolutions.
        pieces: of a maxout unit.
        slope: of leaky ReLU for negative inputs.
        output: G's output function.
        precision: of the weights, float32 or float64.
        compute_dtype: the type that the networks compute in.
    """

    network: str
    generator_hidden: tuple[int, ...]
    discriminator_hidden: tuple[int, ...]
    discriminator_dense: tuple[int, ...]
    pieces: int
    slope: float
    output: str
    precision: str
    compute_dtype: str

    @property
    def dtype(self) -> np.dtype:
        """NumPy's type for ``precision``."""
        return np.dtype(self.precision)


def architecture(config: Config) -> Architecture:
    """The architecture of a config."""
    return Architecture(
        *(getattr(config, field) for field in Architecture._fields)
    )
