"""``python -m jax_gan train``, and the other commands of ``--help``."""

import sys

from experiment.cli import main

if __name__ == "__main__":
    sys.exit(main("jax_gan"))
