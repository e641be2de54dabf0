"""Subset probabilities, the one combinatorial ingredient of every rank-weighted estimator."""

import functools
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

Scalars = Any  # an int, a NumPy array or a jax.Array: the weights are written once for all three


class SubsetProbability(Protocol):
    """Signature `(size, total, count) -> C(size, count) / C(total, count)`."""

    def __call__(self, size: Scalars, total: Scalars, count: Scalars) -> Scalars:
        """Probability that a random subset of `count` out of `total` items lies within `size`."""


def subset_probability(size: int | np.ndarray, total: int, count: int) -> np.ndarray:
    r"""Probability that a random `count`-subset of `total` items lies within given `size` of them.

    .. math:: P(s; N, c) = \binom{s}{c} / \binom{N}{c}
        = \prod_{x=s+1}^{N} \frac{x - c}{x}, \qquad 0 \text{ for } s < c

    The product runs downwards from P(N; N, c) = 1 in float64, so that no binomial is ever formed.

    Args:
      size: integers in 0..total, any shape.
      total: N, the number of items. Static.
      count: c, the size of the subset, 0..total. Static.

    Returns:
      float64 array of the shape of `size`.

    Example:
      >>> subset_probability(np.arange(5), 4, 2).round(4).tolist()
      [0.0, 0.0, 0.1667, 0.5, 1.0]
    """
    sizes_above = np.arange(total, count, -1, dtype=np.float64)
    products = np.cumprod((sizes_above - count) / sizes_above)
    table = np.concatenate([np.zeros(count), products[::-1], [1.0]])
    return table[size]


class _Log2Factorials(NamedTuple):
    """log2(x!) for x = 0..largest as an exact integer plus a fraction in [-1/2, 1/2]."""

    integer: np.ndarray
    fraction: np.ndarray


@functools.lru_cache(maxsize=16)
def _log2_factorials(largest: int) -> _Log2Factorials:
    factors = np.arange(1, largest + 1, dtype=np.longdouble)
    logarithms = np.concatenate([[np.longdouble(0)], np.cumsum(np.log2(factors))])
    integer = np.rint(logarithms)
    return _Log2Factorials(integer.astype(np.int32), (logarithms - integer).astype(np.float64))


def traced_subset_probability(largest: int, dtype: DTypeLike) -> SubsetProbability:
    r"""`subset_probability` for traced arguments: one compiled program for every group size and K.

    P is formed from log2 factorials tabulated on the host. Each logarithm is split into an integer
    and a fraction; the integers add exactly and become the exponent, so that the relative error
    stays at a few roundings of `dtype` however small P is and however large the group.

    Args:
      largest: the largest `total` that will be asked for. Static.
      dtype: floating dtype of the result. Static.

    Returns:
      A function `(size, total, count) -> P` of integer scalars or arrays that broadcast. It expects
      0 <= count <= total <= largest; outside, the value is finite and has no meaning.

    Example:
      >>> probability = traced_subset_probability(4, jnp.float32)
      >>> probability(jnp.array([1, 3, 4]), 4, jnp.int32(2)).round(3).tolist()
      [0.0, 0.5, 1.0]
    """
    logs = _log2_factorials(largest)

    def probability(size: Scalars, total: Scalars, count: Scalars) -> jax.Array:
        integers = jnp.asarray(logs.integer)
        fractions = jnp.asarray(logs.fraction, dtype)
        size, total, count = (jnp.asarray(x, jnp.int32) for x in (size, total, count))
        signs_and_factorials = ((1, size), (-1, size - count), (1, total - count), (-1, total))
        shape = jnp.broadcast_shapes(size.shape, total.shape, count.shape)
        exponent, fraction = jnp.zeros(shape, jnp.int32), jnp.zeros(shape, dtype)
        for sign, argument in signs_and_factorials:
            index = jnp.broadcast_to(jnp.clip(argument, 0, largest), shape)
            exponent += sign * integers[index]
            fraction += sign * fractions[index]
        value = jnp.ldexp(jnp.exp2(fraction), exponent)
        return jnp.where(jnp.broadcast_to(size >= count, shape), value, jnp.zeros((), dtype))

    return probability
