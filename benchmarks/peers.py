"""Training loops as tutorials write them, for context: the same networks.

A loop in Python that reads every loss after its step; PyTorch with Adam and
the memory format of weights at their defaults, and gradients of both networks
in G's step; JAX with one jitted step without donation. A framework is never
judged by them.
"""

from typing import Any

import numpy as np

from experiment.errors import InputError
from experiment.stream import slices


def jax_tutorial(_: Any):
    """``train`` as JAX tutorials write it."""
    from jax_gan.train import Metrics

    def run(game: Any, batches: Any) -> tuple[Any, Any]:
        rows = []
        for batch in slices(batches):
            game, metrics = game.step(batch)
            rows.append([float(value) for value in metrics])
        return game, Metrics(*np.array(rows).T)

    return run


def torch_tutorial(game: Any):
    """``train`` as PyTorch tutorials write it.

    Raises:
        InputError: the updates are simultaneous, or the loss is not -log
            D(G(z)) by binary cross-entropy, which is what tutorials teach.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits as bce

    from torch_ref.train import Metrics

    G, D = game.generator, game.discriminator
    config = G.network.config
    if config.updates == "simultaneous":
        raise InputError("PyTorch tutorials teach Algorithm 1 alone")
    if config.loss != "non-saturating":
        raise InputError(
            f"loss {config.loss} is not that of PyTorch tutorials, "
            "non-saturating"
        )
    for player in (G, D):
        optimizer = player.optimizer
        player.network.to(memory_format=torch.contiguous_format)
        group = optimizer.param_groups[0]
        group.update(fused=None, capturable=False, lr=float(group["lr"]))
        for state in optimizer.state.values():
            state["step"] = state["step"].cpu()

    def run(game: Any, batches: Any) -> tuple[Any, Any]:
        rows = []
        for batch in slices(batches):
            for x, z, real_masks, fake_masks in slices(batch.discriminator):
                D.optimizer.zero_grad()
                real = D(x, real_masks)
                fake = D(G(z).detach(), fake_masks)
                loss_d = bce(real, torch.ones_like(real))
                loss_d = loss_d + bce(fake, torch.zeros_like(fake))
                loss_d.backward()
                D.optimizer.step()
            G.optimizer.zero_grad()
            logits = D(G(batch.generator.z), batch.generator.masks)
            loss_g = bce(logits, torch.ones_like(logits))
            loss_g.backward()
            G.optimizer.step()
            real, fake = torch.sigmoid(real), torch.sigmoid(fake)
            row = loss_d, real.mean(), fake.mean(), loss_g
            rows.append([value.item() for value in row])
        return game, Metrics(*torch.tensor(rows, dtype=torch.float64).T)

    return run


TUTORIALS = {"jax_gan": jax_tutorial, "torch_ref": torch_tutorial}
