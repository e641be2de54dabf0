"""Groups over devices: where an array says how it is sharded, each device works on its own groups.

Groups never meet, so nothing is sent between devices, and the results are those of one device to
the last bit. Arrays whose sharding is left to the compiler need none of this, and within
`jax.shard_map` the groups are those of one device already.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import NamedSharding, PartitionSpec

from maxpo_jax.estimators import checks


def on_own_groups(
    name: str,
    function: Callable[..., jax.Array],
    rewards: jax.Array,
    others: tuple[jax.Array | None, ...],
    k: int | jax.Array,
    *,
    keeps_samples: bool = True,
) -> jax.Array:
    """`function(rewards, *others, k)`, on each device for its own groups if these are sharded.

    Args:
      name: the caller, for messages.
      function: groups to results, each group on its own.
      rewards: [..., B] rewards of the samples of each group.
      others: [..., B] what belongs to the samples as well, such as a mask, or None.
      k: K, a Python int or a traced integer scalar.
      keeps_samples: whether results are [..., B], one for each sample; else they are [...].

    Returns:
      What `function` returns, sharded like the groups.

    Raises:
      ValueError: the samples of a group lie on different devices.

    Example:
      >>> import jax.numpy as jnp
      >>> largest = lambda rewards, k: rewards.max(axis=-1)
      >>> on_own_groups("max", largest, jnp.eye(2), (), 1, keeps_samples=False).tolist()
      [1.0, 1.0]
    """
    shardings = [explicit_sharding(name, array) for array in (rewards, *others)]
    sharding = next(filter(None, shardings), None)
    if sharding is None:
        return function(rewards, *others, k)
    given = [array is not None for array in others]
    arrays = [jax.sharding.reshard(x, sharding) for x in (rewards, *others) if x is not None]
    samples, groups = sharding.spec, PartitionSpec(*sharding.spec[:-1])
    traced_k = [] if isinstance(k, int) else [k]

    def on_one_device(*arguments: jax.Array) -> jax.Array:
        own, own_k = iter(arguments[: len(arrays)]), arguments[len(arrays) :]
        own_rewards, *own_others = (next(own) if here else None for here in (True, *given))
        return function(own_rewards, *own_others, own_k[0] if own_k else k)

    return jax.shard_map(
        on_one_device,
        mesh=sharding.mesh,
        in_specs=(*(samples for _ in arrays), *(PartitionSpec() for _ in traced_k)),
        out_specs=samples if keeps_samples else groups,
    )(*arrays, *traced_k)


def explicit_sharding(name: str, array: jax.Array | None) -> NamedSharding | None:
    """How an array [..., B] says its groups are sharded, or None if it does not say or is whole.

    Args:
      name: the caller, for messages.
      array: [..., B] rewards or a mask, or None.

    Returns:
      The sharding, with one entry for each axis.

    Raises:
      ValueError: the samples of a group lie on different devices.

    Example:
      >>> import jax.numpy as jnp
      >>> explicit_sharding("maxpo", jnp.zeros((2, 3))) is None
      True
    """
    if array is None:
        return None
    sharding: Any = jax.typeof(array).sharding
    if all(axes is None for axes in sharding.spec):
        return None
    spec = (*sharding.spec, *(None,) * (array.ndim - len(sharding.spec)))
    if spec[-1] is not None:
        whole = PartitionSpec(*spec[:-1], None)
        raise ValueError(
            f"{name}: the last axis, the samples of a group, is sharded over mesh axis "
            f"{spec[-1]!r}, but a group has to lie on one device: shard the groups instead, for "
            f"example rewards = jax.sharding.reshard(rewards, jax.{whole})."
        )
    if not checks.is_traced(array):  # whose mesh has devices
        sharding = array.sharding
    return NamedSharding(sharding.mesh, PartitionSpec(*spec))
