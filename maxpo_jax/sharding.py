"""Independent replicates over several devices or hosts.

Replicates (seeds, instances, settings) stand on the leading axis of arrays. Split that axis over
all devices, and a program that is vmapped over it runs on all of them at once; replicates never
meet, so their numbers do not depend on how many devices there are.
"""

import math

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

REPLICATES = "replicates"


def split_over_devices(values: np.ndarray) -> jax.Array:
    """Place an array with its leading axis split over the devices of all processes.

    Args:
      values: [replicates, ...], the same in every process.

    Returns:
      The array on the devices: on as many of them as divide the number of replicates in one
      process, on all of them where there are several processes.

    Raises:
      ValueError: if there are several processes and their devices do not divide the replicates.

    Example:
      >>> split_over_devices(np.arange(4)).shape
      (4,)
    """
    devices = jax.devices()
    if jax.process_count() == 1:
        devices = devices[: math.gcd(len(values), len(devices))]
    if len(values) % len(devices):
        raise ValueError(
            f"{len(values)} replicates cannot be split over {len(devices)} devices evenly: "
            f"use a multiple of {len(devices)}"
        )
    mesh = Mesh(np.array(devices), (REPLICATES,))
    sharding = NamedSharding(mesh, PartitionSpec(REPLICATES))
    return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])


def to_host(values: jax.Array) -> np.ndarray:
    """The whole of an array, in every process.

    Args:
      values: an array, on the devices of one process or of several.

    Returns:
      The same values, in the memory of this process.

    Example:
      >>> to_host(split_over_devices(np.arange(4))).tolist()
      [0, 1, 2, 3]
    """
    if isinstance(values, jax.Array) and not values.is_fully_addressable:
        return np.asarray(multihost_utils.process_allgather(values, tiled=True))
    return np.asarray(values)
