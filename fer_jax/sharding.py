"""The mesh of devices, and how a batch and a state lie on it."""

import math

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

BATCH_AXIS = "batch"
MEMBER_AXIS = "member"
CPU_SHARE = 32
"""The least images of a batch that make a CPU core worth its part in every sum over the batch."""


def device_count(batch_size: int) -> int:
    """How many of the devices a batch is divided over: all, but on a CPU none for less than `CPU_SHARE` images."""
    available = jax.device_count()
    return available if jax.default_backend() != "cpu" else max(1, min(available, batch_size // CPU_SHARE))


def make_mesh(device_count: int | None = None) -> Mesh:
    """One axis over the first `device_count` devices (default: all of them).

    The axis is of type Auto: under Explicit, JAX's default since 0.9, Linen's training-mode layers do not trace.
    """
    devices = jax.devices()[:device_count]
    return Mesh(np.asarray(devices), (BATCH_AXIS,), axis_types=(AxisType.Auto,))


def make_member_mesh(members: int, device_count: int | None = None, share: int | None = None) -> Mesh:
    """Two axes: as many devices as divide the members evenly train different ones; each batch is divided by the rest.

    Four devices and six members make a mesh of 2 x 2, with three members on each pair.

    Args:
      members: how many.
      device_count: uses the first so many devices (default: all of them).
      share: the most devices that a batch is divided over.
    """
    devices = jax.devices()[:device_count]
    apart = math.gcd(members, len(devices))
    together = min(len(devices) // apart, share or len(devices))
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


def round_up(batch_size: int, mesh: Mesh) -> int:
    """The smallest multiple of the devices that share a batch that is no less than `batch_size`."""
    devices = mesh.shape[BATCH_AXIS]
    return -(-batch_size // devices) * devices
