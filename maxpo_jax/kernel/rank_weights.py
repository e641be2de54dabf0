"""Subset probabilities, the one combinatorial ingredient of every rank-weighted estimator."""

import functools
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

Scalars = Any  # an int, a NumPy array or a jax.Array: the weights are written once for all three


class SubsetProbability(Protocol):
    """Signature `(size, total, count, hits) -> probability`, see `subset_probability`."""

    def __call__(
        self, size: Scalars, total: Scalars, count: Scalars, hits: Scalars | None = None
    ) -> Scalars:
        """Probability that `hits` (all by default) of `count` out of `total` are in `size`."""


def subset_probability(
    size: int | np.ndarray, total: int, count: int, hits: int | None = None
) -> np.ndarray:
    r"""Probability that a random `count`-subset of `total` items lies within given `size` of them.

    .. math:: P(s; N, c) = \binom{s}{c} / \binom{N}{c}
        = \prod_{x=s+1}^{N} \frac{x - c}{x}, \qquad 0 \text{ for } s < c

    The product runs downwards from P(N; N, c) = 1 in float64, so that no binomial is ever formed.
    Or the probability that exactly `hits` of the subset do, the hypergeometric one

    .. math:: P(s; N, c, h) = \binom{s}{h} \binom{N-s}{c-h} / \binom{N}{c}

    from the logarithms of factorials, as in `traced_subset_probability`, but in float64.

    Args:
      size: integers in 0..total, any shape.
      total: N, the number of items. Static.
      count: c, the size of the subset, 0..total. Static.
      hits: h, how many of the subset lie within `size`, 0..count; all of them by default. Static.

    Returns:
      float64 array of the shape of `size`.

    Example:
      >>> subset_probability(np.arange(5), 4, 2).round(4).tolist()
      [0.0, 0.0, 0.1667, 0.5, 1.0]
      >>> subset_probability(np.arange(5), 4, 2, hits=1).round(4).tolist()
      [0.0, 0.5, 0.6667, 0.5, 0.0]
    """
    if hits is not None:
        return _from_factorials(np, _log2_factorials(total), size, total, count, hits)
    sizes_above = np.arange(total, count, -1, dtype=np.float64)
    products = np.cumprod((sizes_above - count) / sizes_above)
    table = np.concatenate([np.zeros(count), products[::-1], [1.0]])
    return table[size]


class _Log2Factorials(NamedTuple):
    """log2(x!) for x = 0..largest as an exact integer plus a fraction in [-1/2, 1/2]."""

    integer: Scalars
    fraction: Scalars


@functools.lru_cache(maxsize=16)
def _log2_factorials(largest: int) -> _Log2Factorials:
    factors = np.arange(1, largest + 1, dtype=np.longdouble)
    logarithms = np.concatenate([[np.longdouble(0)], np.cumsum(np.log2(factors))])
    integer = np.rint(logarithms)
    return _Log2Factorials(integer.astype(np.int32), (logarithms - integer).astype(np.float64))


def _from_factorials(
    xp: Any, logs: _Log2Factorials, size: Scalars, total: Scalars, count: Scalars, hits: Scalars
) -> Scalars:
    """`subset_probability` in the arithmetic of `xp`, NumPy or JAX, and the dtype of `logs`."""
    terms = [(1, size), (-1, size - hits), (1, total - count), (-1, total)]
    possible = size >= hits
    if hits is not count:
        outside, misses = total - size, count - hits
        terms += [(1, count), (-1, hits), (-1, misses), (1, outside), (-1, outside - misses)]
        possible &= outside >= misses
    shape = np.broadcast_shapes(*(np.shape(argument) for _, argument in terms))
    exponent, fraction = xp.zeros(shape, xp.int32), xp.zeros(shape, logs.fraction.dtype)
    for sign, argument in terms:
        index = xp.broadcast_to(xp.clip(argument, 0, len(logs.integer) - 1), shape)
        exponent += sign * logs.integer[index]
        fraction += sign * logs.fraction[index]
    value = xp.ldexp(xp.exp2(fraction), exponent)
    return xp.where(xp.broadcast_to(possible, shape), value, xp.zeros((), value.dtype))


def traced_subset_probability(largest: int, dtype: DTypeLike) -> SubsetProbability:
    r"""`subset_probability` for traced arguments: one compiled program for every group size and K.

    P is formed from log2 factorials tabulated on the host. Each logarithm is split into an integer
    and a fraction; the integers add exactly and become the exponent, so that the relative error
    stays at a few roundings of `dtype` however small P is and however large the group.

    Args:
      largest: the largest `total` that will be asked for. Static.
      dtype: floating dtype of the result. Static.

    Returns:
      A function `(size, total, count, hits=count) -> P` of integer scalars or arrays that
      broadcast. It expects 0 <= hits <= count <= total <= largest; outside, the value is finite
      and has no meaning.

    Example:
      >>> probability = traced_subset_probability(4, jnp.float32)
      >>> probability(jnp.array([1, 3, 4]), 4, jnp.int32(2)).round(3).tolist()
      [0.0, 0.5, 1.0]
    """
    logs = _log2_factorials(largest)

    def probability(
        size: Scalars, total: Scalars, count: Scalars, hits: Scalars | None = None
    ) -> jax.Array:
        tables = _Log2Factorials(jnp.asarray(logs.integer), jnp.asarray(logs.fraction, dtype))
        size, total, count = (jnp.asarray(x, jnp.int32) for x in (size, total, count))
        hits = count if hits is None else jnp.asarray(hits, jnp.int32)
        return _from_factorials(jnp, tables, size, total, count, hits)

    return probability
