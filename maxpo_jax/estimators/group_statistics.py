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
    below_best = rewards - jnp.max(rewards, axis=-1, keepdims=True)
    total = jnp.sum(below_best, axis=-1, keepdims=True, where=where)
    return below_best - total / group_sizes(rewards, where)


def standard_deviation(values: jax.Array, where: jax.Array | None, ddof: int) -> jax.Array:
    """Standard deviation [..., 1] of the valid values, with divisor B - ddof; 0 for one value."""
    squares = jnp.sum(deviations(values, where) ** 2, axis=-1, keepdims=True, where=where)
    return jnp.sqrt(squares / jnp.maximum(group_sizes(values, where) - ddof, 1))


def standardised(
    values: jax.Array, where: jax.Array | None, ddof: int, epsilon: float
) -> jax.Array:
    """Values [..., B] less their mean, over their standard deviation plus epsilon.

    Equal values give exactly 0. That is asked of the values themselves: an epsilon alone would
    blow the rounding errors of a mean up to advantages. Values are first divided by their range,
    so that neither their squares nor their deviation can underflow.
    """
    infinity = jnp.full((), jnp.inf, values.dtype)
    valid = jnp.ones(values.shape, bool) if where is None else where
    largest = jnp.max(jnp.where(valid, values, -infinity), axis=-1, keepdims=True)
    smallest = jnp.min(jnp.where(valid, values, infinity), axis=-1, keepdims=True)
    spread = largest > smallest
    unit = jnp.where(spread, largest - smallest, jnp.ones_like(largest))
    scaled = deviations(values, where) / unit
    deviation = jnp.where(spread, standard_deviation(scaled, where, ddof), jnp.ones_like(unit))
    return jnp.where(spread, scaled / (deviation + epsilon / unit), jnp.zeros_like(values))
