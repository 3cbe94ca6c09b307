"""Algorithm 1: order, noise, and whose gradient."""

from dataclasses import replace

import torch

import torch_ref
from experiment.stream import Stream
from parity_tests.faults.base import (
    MOST_STEPS,
    Patch,
    change_batch,
    change_discriminator,
    fault,
    train,
)
from parity_tests.small import small_config, small_data
from torch_ref import game

fault(
    "G's step reuses the noise of D's",
    "algorithm",
    "sample a minibatch of noise for each step",
)(
    change_batch(
        lambda batch: batch._replace(
            generator=batch.generator._replace(z=batch.discriminator.z[-1])
        )
    )
)
fault(
    "all k steps of D see the same noise",
    "algorithm",
    "sample inside the loop over k",
    k=2,
)(
    change_batch(
        lambda batch: change_discriminator(
            batch, z=batch.discriminator.z[:1].expand_as(batch.discriminator.z)
        )
    )
)
fault(
    "all k steps of D see the same images",
    "algorithm",
    "sample inside the loop over k",
    k=2,
)(
    change_batch(
        lambda batch: change_discriminator(
            batch, x=batch.discriminator.x[:1].expand_as(batch.discriminator.x)
        )
    )
)
fault(
    "D takes one step for k = 2",
    "algorithm",
    "k steps of D for one of G",
    k=2,
)(
    change_batch(
        lambda batch: batch._replace(
            discriminator=torch.utils._pytree.tree_map(
                lambda array: array[:1], batch.discriminator
            )
        )
    )
)


@fault("G moves before D", "algorithm", "k steps of D, then one of G")
def _generator_first(patch: Patch) -> None:
    def train_step(game, batch):
        game, of_g = train.generator_step(game, batch.generator)
        for step in train.slices(batch.discriminator):
            game, of_d = train.discriminator_step(game, step)
        return game, train.Metrics(*of_d, of_g)

    patch.setattr(game.Game, "step", train_step)


@fault(
    "updates are simultaneous, from the same old weights",
    "algorithm",
    "G's gradient uses the D that has just moved",
)
def _simultaneous(patch: Patch) -> None:
    def train_step(game, batch):
        G, D = game.generator, game.discriminator
        z, masks = batch.generator
        of_g = game.loss.generator(D(G(z), masks))
        G.optimizer.zero_grad()
        of_g.backward(inputs=list(G.network.parameters()))
        for step in train.slices(batch.discriminator):
            game, of_d = train.discriminator_step(game, step)
        G.optimizer.step()
        return game, train.Metrics(*of_d, of_g.detach())

    patch.setattr(game.Game, "step", train_step)


@fault(
    "gradients of earlier steps are not cleared",
    "algorithm",
    "optimizer.zero_grad() before every backward",
)
def _accumulated_gradients(patch: Patch) -> None:
    def descend(self, loss):
        loss.backward(inputs=list(self.network.parameters()))
        self.optimizer.step()

    patch.setattr(game.Player, "descend", descend)


@fault(
    "the gradient of G's step leaks into D's next step",
    "algorithm",
    "backward(inputs=G's weights), or clear D's gradients after G's step",
)
def _leaking_gradient(patch: Patch) -> None:
    def descend(self, loss):
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=False)

    patch.setattr(game.Player, "descend", descend)


@fault(
    "G moves in D's step too: the fake batch is not detached",
    "algorithm",
    "torch.no_grad() or stop_gradient around G in D's step",
)
def _not_detached(patch: Patch) -> None:
    def discriminator_step(game, batch):
        G, D = game.generator, game.discriminator
        real_logits = D(batch.x, batch.real_masks)
        fake_logits = D(G(batch.z), batch.fake_masks)
        value = game.loss.discriminator(real_logits, fake_logits)
        for player in (G, D):
            player.optimizer.zero_grad()
        value.backward()
        for player in (G, D):
            player.optimizer.step()
        D_real, D_fake = real_logits.sigmoid(), fake_logits.sigmoid()
        means = D_real.detach().mean(), D_fake.detach().mean()
        return game, (value.detach(), *means)

    patch.setattr(train, "discriminator_step", discriminator_step)


@fault(
    "D's step sees the fake batch of its last step",
    "algorithm",
    "G(z) computed again in every step of D, by the current G",
)
def _stale_fake_batch(patch: Patch) -> None:
    sound, last = train.discriminator_step, []

    def discriminator_step(game, batch):
        def stale(z):
            last.append(game.generator(z))
            return last[-2:][0]

        _, of_d = sound(replace(game, generator=stale), batch)
        return game, of_d

    patch.setattr(train, "discriminator_step", discriminator_step)


@fault(
    "the stream is off by one iteration",
    "algorithm",
    "count iterations from 0 in both",
)
def _stream_off_by_one(patch: Patch) -> None:
    seen: list[int] = []

    def train_step(game, batch):
        seen.append(1)
        return sound(game, late[len(seen) - 1])

    sound = game.Game.step
    stream = Stream(small_config(), small_data())
    late = [torch_ref.place(stream.batch(n + 1)) for n in range(MOST_STEPS)]
    patch.setattr(game.Game, "step", train_step)


fault(
    "images of a minibatch come in another order",
    "algorithm",
    "none needed: losses are means over the minibatch",
    equivalent="without dropout masks a mean does not know the order",
    keep_hidden=1.0,
)(
    change_batch(
        lambda batch: change_discriminator(
            batch, x=batch.discriminator.x.flip(1)
        )
    )
)
