"""The GAN of Goodfellow et al. 2014 in JAX, functional and jitted."""

import sys

# ``python -m jax_gan`` imports the package before the command line runs, with
# "-m" in place of a path: nothing is loaded then, so that --help and bad
# options need not wait for the framework.
if sys.argv[:1] != ["-m"]:
    from jax_gan.api import *  # noqa: F403
    from jax_gan.api import __all__ as __all__
