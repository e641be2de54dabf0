"""Mean and standard deviation of groups of values, exact for equal values, aware of masks.

All of it, and what is built of it, is written once for JAX and for NumPy.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

SHRINK = 2.0**-4
"""Rewards times this have finite differences, and ranges whose reciprocals are normal numbers; a
power of two rounds nothing."""


def array_namespace(values: jax.Array | np.ndarray) -> Any:
    """The module of the functions for an array: `numpy` for one of NumPy, else `jax.numpy`."""
    return np if isinstance(values, np.ndarray) else jnp


def total(values: jax.Array, where: jax.Array | None) -> jax.Array:
    """Sum [..., 1] of the valid values."""
    xp = array_namespace(values)
    if where is None:
        return xp.sum(values, axis=-1, keepdims=True)
    return xp.sum(values, axis=-1, keepdims=True, where=where)


def group_sizes(rewards: jax.Array, where: jax.Array | None) -> jax.Array:
    """Number [..., 1] of valid samples of each group, at least 1, in the dtype of the rewards."""
    if where is None:
        shape = (*rewards.shape[:-1], 1)
        return array_namespace(rewards).full(shape, rewards.shape[-1], rewards.dtype)
    return jnp.maximum(jnp.sum(where, axis=-1, keepdims=True), 1).astype(rewards.dtype)


def deviations(rewards: jax.Array, where: jax.Array | None) -> jax.Array:
    """Rewards [..., B] less the mean of the valid ones; exactly 0 where all are equal.

    The largest reward is taken off first, so that a large offset costs no precision.
    """
    return _deviations(rewards * SHRINK, where) / SHRINK


def _deviations(values: jax.Array, where: jax.Array | None) -> jax.Array:
    """`deviations` of values that were shrunk."""
    below_best = values - array_namespace(values).max(values, axis=-1, keepdims=True)
    # A power of two rounds nothing, and keeps the sum of a whole group finite.
    share = 2.0 ** -(values.shape[-1] - 1).bit_length()
    shrunk_total = total(share * below_best, where)
    return below_best - shrunk_total / (share * group_sizes(values, where))


def standardized(
    values: jax.Array, where: jax.Array | None, ddof: int, epsilon: float
) -> jax.Array:
    """Values [..., B] less their mean, over their standard deviation plus epsilon.

    Equal values give exactly 0. That is asked of the values themselves: an epsilon alone would
    blow the rounding errors of a mean up to advantages.
    """
    scaled, unit = _in_units_of_range(values, where)
    return _over_deviation(scaled, scaled, unit, where, ddof, epsilon)


def over_standard_deviation(
    signal: jax.Array, values: jax.Array, where: jax.Array | None, ddof: int, epsilon: float
) -> jax.Array:
    """A signal [..., B] over the standard deviation of the values [..., B] plus epsilon.

    The divisor of the variance is B - ddof. Equal values give exactly 0.
    """
    scaled, unit = _in_units_of_range(values, where)
    shrunk = signal * SHRINK / _one_where_zero(unit)
    return _over_deviation(shrunk, scaled, unit, where, ddof, epsilon)


def _in_units_of_range(values: jax.Array, where: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """Deviations [..., B] over the range of their group, and that range [..., 1], shrunk.

    So their squares neither overflow nor underflow.
    """
    xp = array_namespace(values)
    infinity = xp.full((), np.inf, values.dtype)
    valid = xp.ones(values.shape, bool) if where is None else where
    largest = xp.max(xp.where(valid, values, -infinity), axis=-1, keepdims=True)
    smallest = xp.min(xp.where(valid, values, infinity), axis=-1, keepdims=True)
    unit = largest * SHRINK - smallest * SHRINK
    below_best = values * SHRINK - largest * SHRINK
    scaled = below_best / _one_where_zero(unit)
    return scaled - total(scaled, where) / group_sizes(values, where), unit


def _one_where_zero(unit: jax.Array) -> jax.Array:
    xp = array_namespace(unit)
    return xp.where(unit > 0, unit, xp.ones_like(unit))


def _over_deviation(
    signal: jax.Array,
    scaled: jax.Array,
    unit: jax.Array,
    where: jax.Array | None,
    ddof: int,
    epsilon: float,
) -> jax.Array:
    """The signal over the deviation, both in units of the range; 0 where the range is 0."""
    xp = array_namespace(scaled)
    spread = unit > 0
    variance = total(scaled**2, where) / xp.maximum(group_sizes(scaled, where) - ddof, 1)
    noise = epsilon * SHRINK / _one_where_zero(unit)
    deviation = xp.where(spread, xp.sqrt(variance) + noise, xp.ones_like(unit))
    return xp.where(spread, signal / deviation, xp.zeros_like(signal))
