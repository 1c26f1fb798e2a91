"""The mesh of devices, and how a batch and a state lie on it."""

import math
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from fer_jax.errors import ConfigError

SHARDINGS = ("auto", "batch", "members")
BATCH_AXIS = "batch"
MEMBER_AXIS = "member"
CPU_SHARE = 32
"""The least images of a batch that make a CPU core worth its part in every sum over the batch."""


def device_count(batch_size: int) -> int:
    """How many of the devices a batch is divided over: all, but on a CPU none for less than `CPU_SHARE` images."""
    available, together = jax.device_count(), jax.process_count()
    if jax.default_backend() != "cpu":
        return available
    # Every process takes part, each with as many.
    share = max(1, min(available, batch_size // CPU_SHARE) // together)
    return share * together


def _devices(count: int | None) -> list[jax.Device]:
    """The first `count` devices, as many of each process; None is all of them."""
    devices, together = jax.devices(), jax.process_count()
    if count is None or together == 1:
        return devices[:count]
    by_process = [[device for device in devices if device.process_index == index] for index in range(together)]
    return [device for own in by_process for device in own[: count // together]]


def make_mesh(device_count: int | None = None) -> Mesh:
    """One axis over the first `device_count` devices, as many of each process (default: all of them).

    The axis is of type Auto: under Explicit, JAX's default since 0.9, Linen's training-mode layers do not trace.
    """
    return Mesh(np.asarray(_devices(device_count)), (BATCH_AXIS,), axis_types=(AxisType.Auto,))


def make_member_mesh(
    members: int, sharding: str = "auto", device_count: int | None = None, share: int | None = None
) -> Mesh:
    """Two axes: as many devices as divide the members evenly train different ones; each batch is divided by the rest.

    Four devices and six members make a mesh of 2 x 2, with three members on each pair.

    Args:
      members: how many.
      sharding: 'auto' as above; 'members' divides no batch, and 'batch' no members.
      device_count: uses the first so many devices (default: all of them).
      share: the most devices that a batch is divided over, where there is one process: of several each takes part.
    """
    devices = _devices(device_count)
    apart = 1 if sharding == "batch" else math.gcd(members, len(devices))
    together = 1 if sharding == "members" else len(devices) // apart
    if share and jax.process_count() == 1:
        together = min(together, share)
    if apart * together < len(devices) and jax.process_count() > 1:
        raise ConfigError(
            f"{members} members do not divide over {len(devices)} devices of {jax.process_count()} processes: train a "
            "multiple of the devices at once, or leave config.sharding = 'auto'"
        )
    shape = np.asarray(devices[: apart * together]).reshape(apart, together)
    return Mesh(shape, (MEMBER_AXIS, BATCH_AXIS), axis_types=(AxisType.Auto, AxisType.Auto))


def devices_of_a_batch() -> int:
    """While a program is traced: how many devices a batch is divided over, at most."""
    mesh = jax.sharding.get_abstract_mesh()
    return jax.device_count() if mesh.empty else mesh.shape[BATCH_AXIS]


def by_member(mesh: Mesh) -> NamedSharding:
    """The first axis is divided over the mesh's members; on a mesh without members every device holds the whole."""
    return NamedSharding(mesh, PartitionSpec(MEMBER_AXIS) if MEMBER_AXIS in mesh.axis_names else PartitionSpec())


def member_columns(mesh: Mesh) -> NamedSharding:
    """[members, steps, batch] with the members and the batch divided over the devices."""
    return NamedSharding(mesh, PartitionSpec(MEMBER_AXIS, None, BATCH_AXIS))


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def sharded_columns(mesh: Mesh) -> NamedSharding:
    """[steps, batch] with the batch divided over the devices."""
    return NamedSharding(mesh, PartitionSpec(None, BATCH_AXIS))


def sharded_rows(mesh: Mesh) -> NamedSharding:
    """[batch, ...] with the batch divided over the devices."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXIS))


def place(tree: Any, sharding: NamedSharding) -> Any:
    """A pytree of values on the host as arrays on the devices; of several processes each has the whole of it."""
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def put(value: Any) -> jax.Array:
        whole = np.asarray(value)
        return jax.make_array_from_callback(whole.shape, sharding, lambda part: whole[part])

    return jax.tree.map(put, tree)


def on_host(tree: Any) -> Any:
    """A pytree of arrays as NumPy's, whole in every process; all processes of a run call it together."""

    def get(array: Any) -> Any:
        if not isinstance(array, jax.Array) or array.is_fully_addressable or array.is_fully_replicated:
            return jax.device_get(array)
        return multihost_utils.process_allgather(array, tiled=True)

    return jax.tree.map(get, tree)


def round_up(batch_size: int, mesh: Mesh) -> int:
    """The smallest multiple of the devices that share a batch that is no less than `batch_size`."""
    devices = mesh.shape[BATCH_AXIS]
    return -(-batch_size // devices) * devices
