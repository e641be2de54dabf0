"""Mean and standard deviation of groups of values, exact for equal values, aware of masks."""

import jax
import jax.numpy as jnp


def group_sizes(rewards: jax.Array, where: jax.Array | None) -> jax.Array:
    """Number [..., 1] of valid samples of each group, at least 1, in the dtype of the rewards."""
    if where is None:
        return jnp.full((*rewards.shape[:-1], 1), rewards.shape[-1], rewards.dtype)
    return jnp.maximum(jnp.sum(where, axis=-1, keepdims=True), 1).astype(rewards.dtype)


def deviations(rewards: jax.Array, where: jax.Array | None) -> jax.Array:
    """Rewards [..., B] less the mean of the valid ones; exactly 0 where all are equal.

    The largest reward is taken off first, so that a large offset costs no precision.
    """
    unit = _unit_of_sums(rewards)
    return _deviations(rewards * unit, where) / unit


def _deviations(rewards: jax.Array, where: jax.Array | None) -> jax.Array:
    below_best = rewards - jnp.max(rewards, axis=-1, keepdims=True)
    total = jnp.sum(below_best, axis=-1, keepdims=True, where=where)
    return below_best - total / group_sizes(rewards, where)


def _unit_of_sums(values: jax.Array) -> jax.Array:
    """A factor [..., 1] that keeps the sum of all differences within a group finite.

    It is 1 but for values near the end of the range, and a power of two there: it never rounds.
    """
    # Each sample adds up to twice the largest magnitude; one more bit is to spare.
    bits = (4 * values.shape[-1] - 1).bit_length()
    largest = jnp.finfo(values.dtype).max
    magnitude = jnp.max(jnp.abs(values), axis=-1, keepdims=True)
    is_safe = magnitude <= largest * 2.0**-bits
    return jnp.where(is_safe, 1.0, 2.0**-bits).astype(values.dtype)


def standardised(
    values: jax.Array, where: jax.Array | None, ddof: int, epsilon: float
) -> jax.Array:
    """Values [..., B] less their mean, over their standard deviation plus epsilon.

    Equal values give exactly 0. That is asked of the values themselves: an epsilon alone would
    blow the rounding errors of a mean up to advantages.
    """
    shrink = _unit_of_sums(values)
    shrunk = values * shrink
    return _over_deviation(_deviations(shrunk, where), shrunk, where, ddof, epsilon * shrink)


def over_standard_deviation(
    signal: jax.Array, values: jax.Array, where: jax.Array | None, ddof: int, epsilon: float
) -> jax.Array:
    """A signal [..., B] over the standard deviation of the values [..., B] plus epsilon.

    The divisor of the variance is B - ddof. Equal values give exactly 0.
    """
    shrink = _unit_of_sums(values)
    return _over_deviation(signal * shrink, values * shrink, where, ddof, epsilon * shrink)


def _over_deviation(
    signal: jax.Array,
    values: jax.Array,
    where: jax.Array | None,
    ddof: int,
    epsilon: jax.Array,
) -> jax.Array:
    """All in units of the range of the group, so that squares neither overflow nor underflow."""
    infinity = jnp.full((), jnp.inf, values.dtype)
    valid = jnp.ones(values.shape, bool) if where is None else where
    largest = jnp.max(jnp.where(valid, values, -infinity), axis=-1, keepdims=True)
    smallest = jnp.min(jnp.where(valid, values, infinity), axis=-1, keepdims=True)
    spread = largest > smallest
    unit = jnp.where(spread, largest - smallest, jnp.ones_like(largest))
    scaled = _deviations(values, where) / unit
    squares = jnp.sum(_deviations(scaled, where) ** 2, axis=-1, keepdims=True, where=where)
    variance = squares / jnp.maximum(group_sizes(values, where) - ddof, 1)
    deviation = jnp.where(spread, jnp.sqrt(variance), jnp.ones_like(unit))
    return jnp.where(spread, signal / unit / (deviation + epsilon / unit), jnp.zeros_like(signal))
