"""One game on many devices: each has the game, and a share of every batch.

The minibatch is split over a mesh of one axis and the game is copied to all
devices; XLA computes where the data lie and adds the all-reduces. A mean over
the minibatch, of losses as of batch statistics, is that of the whole one, so
the game is that of one device. One process drives all devices that it sees;
several processes, on several machines, each drive their own.
"""

from functools import cache
from typing import Any

import jax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from numpy.typing import NDArray

from experiment.errors import InputError
from experiment.processes import Place
from experiment.stream import Batch, map_arrays


def spread(
    device: jax.Device, place: Place, devices: int | None = None
) -> jax.Device | NamedSharding:
    """Where a game lies: on the device, or a copy on each of several.

    Args:
        device: what ``select_device`` gave; the others are of its platform.
        place: of this process among all.
        devices: how many in all; without it one, or of several processes
            all that they see.

    Raises:
        InputError: there are fewer, or processes would have none.
    """
    found = jax.devices(device.platform)
    count = devices or (len(found) if place.processes > 1 else 1)
    if count > len(found) or (place.processes > 1 and count < len(found)):
        raise InputError(
            f"--devices {count}: JAX sees {len(found)} of platform "
            f"{device.platform} in {place.processes} processes; take "
            f"--devices {len(found)}"
        )
    if count == 1:
        return device
    mesh = jax.make_mesh(
        (count,),
        ("data",),
        # With explicit types a reshape may not merge the split axis.
        axis_types=(AxisType.Auto,),
        devices=found[:count],
    )
    return NamedSharding(mesh, P())


def device_count(device: Any) -> int:
    """Devices of the game in all processes."""
    return device.num_devices if isinstance(device, NamedSharding) else 1


def split(batches: Any, devices: NamedSharding) -> Any:
    """Stacked batches, of which each device gets its rows; copies.

    Args:
        batches: the rows of this process, as NumPy arrays.
        devices: what ``spread`` gave.
    """

    def put(array: NDArray, sharding: NamedSharding) -> jax.Array:
        return jax.make_array_from_process_local_data(sharding, array.copy())

    if not isinstance(batches, Batch):  # of simultaneous players
        of_all = _split_at(devices, 1)
        return map_arrays(lambda array: put(array, of_all), batches)
    of_d, of_g = _split_at(devices, 2), _split_at(devices, 1)
    return Batch(
        map_arrays(lambda array: put(array, of_d), batches.discriminator),
        map_arrays(lambda array: put(array, of_g), batches.generator),
    )


def split_inside(batch: Any, devices: Any) -> Any:
    """In a program: a batch split over several devices; on one, as it is."""
    if not isinstance(devices, NamedSharding):
        return batch
    if not isinstance(batch, Batch):
        return jax.lax.with_sharding_constraint(batch, _split_at(devices, 0))
    of_d: Any = _split_at(devices, 1)
    of_g: Any = _split_at(devices, 0)
    shardings = Batch(of_d, of_g)
    return jax.lax.with_sharding_constraint(batch, shardings)


def copy_inside(tree: Any, devices: Any) -> Any:
    """In a program: arrays copied to several devices; on one, as they are."""
    if not isinstance(devices, NamedSharding):
        return tree
    return jax.lax.with_sharding_constraint(tree, devices)


def _split_at(devices: NamedSharding, axis: int) -> NamedSharding:
    """The axis of a minibatch: after those of iterations and of D's steps."""
    return NamedSharding(devices.mesh, P(*[None] * axis, "data"))


def pinned(train: Any, game: Any) -> Any:
    """A variant of ``train`` after which the game lies as before.

    Else XLA may split weights too, and could not reuse their memory.
    """
    devices = jax.tree.leaves(game)[0].sharding
    return train if devices.num_devices == 1 else _pinned(train, devices)


@cache
def _pinned(train: Any, devices: NamedSharding) -> Any:
    return jax.jit(train, donate_argnames="game", out_shardings=devices)


def local(game: Any) -> Any:
    """The game on the first device of this process: to look at it there."""
    if jax.tree.leaves(game)[0].sharding.num_devices == 1:
        return game
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), game)
