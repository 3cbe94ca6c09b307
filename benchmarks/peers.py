"""The plain forms that tutorials teach, for context: the same networks.

A loop in Python that reads every loss as it goes; PyTorch with Adam and the
memory of weights as they are by default, and gradients of both networks in
G's step; JAX with one jitted step that donates nothing. Never the measure of
a framework.
"""

from typing import Any

import numpy as np

from experiment.config import InputError
from experiment.stream import slices


def jax_tutorial(_: Any):
    """``train`` as tutorials of JAX write it."""
    from jax_gan.train import Metrics

    def run(game: Any, batches: Any) -> tuple[Any, Any]:
        rows = []
        for batch in slices(batches):
            game, metrics = game.step(batch)
            rows.append([float(value) for value in metrics])
        return game, Metrics(*np.array(rows).T)

    return run


def torch_tutorial(game: Any):
    """``train`` as tutorials of PyTorch write it.

    Raises:
        InputError: both players move at once, or the loss is not -log D(G(z))
            by binary cross-entropy, which is what tutorials teach.
    """
    import torch
    from torch.nn.functional import binary_cross_entropy_with_logits as bce

    from torch_ref.train import Metrics

    G, D = game.generator, game.discriminator
    config = G.network.config
    if config.updates == "simultaneous":
        raise InputError("tutorials of PyTorch teach Algorithm 1 alone")
    if config.loss != "non-saturating":
        raise InputError(
            f"loss {config.loss} is not that of PyTorch's tutorials, "
            "non-saturating"
        )
    of_g, of_d = G.optimizer, D.optimizer
    for player, optimizer in ((G, of_g), (D, of_d)):
        player.network.to(memory_format=torch.contiguous_format)
        rate = float(optimizer.param_groups[0]["lr"])
        optimizer.param_groups[0].update(fused=None, capturable=False, lr=rate)
        for state in optimizer.state.values():
            state["step"] = state["step"].cpu()

    def run(game: Any, batches: Any) -> tuple[Any, Any]:
        rows = []
        for batch in slices(batches):
            for x, z, real_masks, fake_masks in slices(batch.discriminator):
                of_d.zero_grad()
                real = D(x, real_masks)
                fake = D(G(z).detach(), fake_masks)
                loss_d = bce(real, torch.ones_like(real))
                loss_d = loss_d + bce(fake, torch.zeros_like(fake))
                loss_d.backward()
                of_d.step()
            of_g.zero_grad()
            logits = D(G(batch.generator.z), batch.generator.masks)
            loss_g = bce(logits, torch.ones_like(logits))
            loss_g.backward()
            of_g.step()
            real, fake = torch.sigmoid(real), torch.sigmoid(fake)
            row = loss_d, real.mean(), fake.mean(), loss_g
            rows.append([value.item() for value in row])
        return game, Metrics(*torch.tensor(rows, dtype=torch.float64).T)

    return run


TUTORIALS = {"jax_gan": jax_tutorial, "torch_ref": torch_tutorial}
