"""``python -m torch_ref train | sample | interpolate | info``."""

import sys

import torch_ref
from experiment.cli import main

if __name__ == "__main__":
    sys.exit(main(torch_ref))
