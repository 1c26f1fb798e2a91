"""The mesh of devices, and how a batch and a state lie on it."""

import math

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

BATCH_AXIS = "batch"
MEMBER_AXIS = "member"


def make_mesh(device_count: int | None = None) -> Mesh:
    """One axis over the first `device_count` devices (default: all of them).

    The axis is of type Auto: under Explicit, JAX's default since 0.9, Linen's training-mode layers do not trace.
    """
    devices = jax.devices()[:device_count]
    return Mesh(np.asarray(devices), (BATCH_AXIS,), axis_types=(AxisType.Auto,))


def make_member_mesh(members: int, device_count: int | None = None) -> Mesh:
    """Two axes: as many devices as divide the members evenly train different ones; each batch is divided by the rest.

    Four devices and six members make a mesh of 2 x 2, with three members on each pair.
    """
    devices = jax.devices()[:device_count]
    apart = math.gcd(members, len(devices))
    shape = np.asarray(devices).reshape(apart, -1)
    return Mesh(shape, (MEMBER_AXIS, BATCH_AXIS), axis_types=(AxisType.Auto, AxisType.Auto))


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


def round_up(batch_size: int, mesh: Mesh) -> int:
    """The smallest multiple of the devices that share a batch that is no less than `batch_size`."""
    devices = mesh.shape[BATCH_AXIS]
    return -(-batch_size // devices) * devices
