"""The twin in PyTorch as a side."""

from numpy.typing import NDArray

import torch_ref
from parity_tests.side import Key
from parity_tests.twin import TwinSide
from torch_ref.weights import named_parameters, neutral


class TorchTwin(TwinSide):
    """The game in PyTorch."""

    twin = torch_ref

    def gradients(self, player: str) -> dict[Key, NDArray]:
        """As ``TwinSide``."""
        network = getattr(self.game, player).network
        return {
            Key("weights", player, name): neutral(weight.grad).numpy().copy()
            for name, weight in named_parameters(network)
            if weight.grad is not None
        }
