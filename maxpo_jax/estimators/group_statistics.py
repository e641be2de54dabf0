"""Mean and standard deviation of groups of values, exact for equal values, aware of masks."""

import jax
import jax.numpy as jnp

SHRINK = 2.0**-4
"""Rewards times this have finite differences, and ranges whose reciprocals are normal numbers; a
power of two rounds nothing."""


def group_sizes(rewards: jax.Array, where: jax.Array | None) -> jax.Array:
    """Number [..., 1] of valid samples of each group, at least 1, in the dtype of the rewards."""
    if where is None:
        return jnp.full((*rewards.shape[:-1], 1), rewards.shape[-1], rewards.dtype)
    return jnp.maximum(jnp.sum(where, axis=-1, keepdims=True), 1).astype(rewards.dtype)


def deviations(rewards: jax.Array, where: jax.Array | None) -> jax.Array:
    """Rewards [..., B] less the mean of the valid ones; exactly 0 where all are equal.

    The largest reward is taken off first, so that a large offset costs no precision.
    """
    return _deviations(rewards * SHRINK, where) / SHRINK


def _deviations(values: jax.Array, where: jax.Array | None) -> jax.Array:
    """`deviations` of values that were shrunk."""
    below_best = values - jnp.max(values, axis=-1, keepdims=True)
    # A power of two rounds nothing, and keeps the sum of a whole group finite.
    share = 2.0 ** -(values.shape[-1] - 1).bit_length()
    total = jnp.sum(share * below_best, axis=-1, keepdims=True, where=where)
    return below_best - total / (share * group_sizes(values, where))


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
    shrunk = signal * SHRINK / jnp.where(unit > 0, unit, jnp.ones_like(unit))
    return _over_deviation(shrunk, scaled, unit, where, ddof, epsilon)


def _in_units_of_range(values: jax.Array, where: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """Deviations [..., B] over the range of their group, and that range [..., 1], shrunk.

    So their squares neither overflow nor underflow.
    """
    infinity = jnp.full((), jnp.inf, values.dtype)
    valid = jnp.ones(values.shape, bool) if where is None else where
    largest = jnp.max(jnp.where(valid, values, -infinity), axis=-1, keepdims=True)
    smallest = jnp.min(jnp.where(valid, values, infinity), axis=-1, keepdims=True)
    unit = largest * SHRINK - smallest * SHRINK
    below_best = values * SHRINK - largest * SHRINK
    scaled = below_best / jnp.where(unit > 0, unit, jnp.ones_like(unit))
    mean = jnp.sum(scaled, axis=-1, keepdims=True, where=where) / group_sizes(values, where)
    return scaled - mean, unit


def _over_deviation(
    signal: jax.Array,
    scaled: jax.Array,
    unit: jax.Array,
    where: jax.Array | None,
    ddof: int,
    epsilon: float,
) -> jax.Array:
    """The signal over the deviation, both in units of the range; 0 where the range is 0."""
    spread = unit > 0
    squares = jnp.sum(scaled**2, axis=-1, keepdims=True, where=where)
    variance = squares / jnp.maximum(group_sizes(scaled, where) - ddof, 1)
    noise = epsilon * SHRINK / jnp.where(spread, unit, jnp.ones_like(unit))
    deviation = jnp.where(spread, jnp.sqrt(variance) + noise, jnp.ones_like(unit))
    return jnp.where(spread, signal / deviation, jnp.zeros_like(signal))
