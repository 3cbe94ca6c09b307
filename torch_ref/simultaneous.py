"""The simultaneous update of the authors' code, AdversaryCost2.

Algorithm 1 updates D first and draws G's noise afresh. The code that came
with the paper takes both gradients at the same old weights, on one fake batch.
"""

from experiment.stream import DiscriminatorBatch
from torch_ref.game import Game
from torch_ref.parallel import average_gradients
from torch_ref.train import Metrics


def simultaneous_step(
    game: Game, batch: DiscriminatorBatch
) -> tuple[Game, Metrics]:
    """Updates both players from the same weights, on the same fake batch.

    D descends half its loss, -mean[log D(x) + log(1 - D(G(z)))] / 2, which
    the metrics report; G descends its loss on the D(G(z)) of D's own loss,
    dropout masks included.
    """
    x, z, real_masks, fake_masks = batch
    G, D = game.generator, game.discriminator

    fake = G(z)
    assert fake.shape == x.shape, f"{fake.shape} is not {x.shape}"
    real_logits = D(x, real_masks)
    fake_logits = D(fake, fake_masks)
    of_d = game.loss.discriminator(real_logits, fake_logits) / 2
    of_g = game.loss.generator(fake_logits)

    for player, value in ((D, of_d), (G, of_g)):
        player.optimizer.zero_grad()
        weights = list(player.network.parameters())
        value.backward(inputs=weights, retain_graph=player is D)
        average_gradients(weights)
    D.optimizer.step()
    G.optimizer.step()

    real_logits, fake_logits = real_logits.detach(), fake_logits.detach()
    probability = game.loss.probability
    means = probability(real_logits).mean(), probability(fake_logits).mean()
    return game, Metrics(of_d.detach(), *means, of_g.detach())
