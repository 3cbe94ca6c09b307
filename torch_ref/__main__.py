"""``python -m torch_ref train``, and the other commands of ``--help``."""

import sys

if __name__ == "__main__":
    # Before all other imports, which take seconds.
    from experiment.signals import listen

    listen()

    from experiment.cli import main

    sys.exit(main("torch_ref"))
