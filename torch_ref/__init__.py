"""The GAN of Goodfellow et al. 2014 in PyTorch, the reference."""

import sys

# ``python -m torch_ref`` imports the package before the command line runs, with
# "-m" in place of a path: nothing is loaded then, so that --help and bad
# options need not wait for the framework.
if sys.argv[:1] != ["-m"]:
    from torch_ref.api import *  # noqa: F403
    from torch_ref.api import __all__ as __all__
