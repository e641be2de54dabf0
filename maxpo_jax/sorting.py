"""Sorting a group of rewards, and putting results back in the order of the samples."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def sort_with_inverse(
    values: jax.Array,
) -> tuple[jax.Array, Callable[[jax.Array], jax.Array]]:
    r"""Sort the last axis ascending, and return the inverse permutation as a function.

    .. math:: s = P v, \qquad \text{unsort}(z) = P^\top z

    Args:
      values: [..., B] floating-point values.

    Returns:
      sorted: [..., B] ascending.
      unsort: function [..., B] -> [..., B] from the sorted order to the order of `values`.

    Example:
      >>> ranked, unsort = sort_with_inverse(jnp.array([3.0, 1.0, 2.0]))
      >>> ranked.tolist(), unsort(ranked).tolist()
      ([1.0, 2.0, 3.0], [3.0, 1.0, 2.0])
    """
    order = jnp.argsort(values, axis=-1)
    positions = jnp.argsort(order, axis=-1)

    def unsort(ranked: jax.Array) -> jax.Array:
        return jnp.take_along_axis(ranked, positions, axis=-1)

    return jnp.take_along_axis(values, order, axis=-1), unsort
