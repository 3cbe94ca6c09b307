"""Classical momentum, which ``torch.optim`` does not have."""

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer


class ClassicalMomentum(Optimizer):
    """v = mu v - rate g, and p = p + v.

    Learning rate and momentum are tensors, so a CUDA graph sees their changes.
    """

    def __init__(self, weights: list[Parameter], lr: Tensor, mu: Tensor):
        super().__init__(weights, {"lr": lr, "mu": mu})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Moves every weight by its velocity."""
        for group in self.param_groups:
            weights = group["params"]
            velocities = [self.state[p]["velocity"] for p in weights]
            moves = torch._foreach_mul([p.grad for p in weights], group["lr"])
            torch._foreach_mul_(velocities, group["mu"])
            torch._foreach_sub_(velocities, moves)
            torch._foreach_add_(weights, velocities)
