"""The mesh of devices, and how a batch and a state lie on it."""

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

BATCH_AXIS = "batch"
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


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole array."""
    return NamedSharding(mesh, PartitionSpec())


def sharded_columns(mesh: Mesh) -> NamedSharding:
    """[steps, batch] with the batch divided over the devices."""
    return NamedSharding(mesh, PartitionSpec(None, BATCH_AXIS))


def round_up(batch_size: int, mesh: Mesh) -> int:
    """The smallest multiple of the mesh's size that is no less than `batch_size`."""
    return -(-batch_size // mesh.size) * mesh.size
