"""The kernel of all rank-weighted estimators: weighted sums of the spacings of sorted rewards."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from maxpo_jax.rank_weights import (
    Scalars,
    SubsetProbability,
    subset_probability,
    traced_subset_probability,
)
from maxpo_jax.sorting import sort_with_inverse


class RankWeights(NamedTuple):
    r"""Weights that turn sorted rewards into advantages.

    With R_(1) <= ... <= R_(B) and spacings d_m = R_(m+1) - R_(m), the sample of rank i gets

    .. math:: A_{(i)} = a R_{(B)} + \sum_{m < i} w_m d_m + \sum_{m \ge i} l_m d_m.

    A sample "wins" the spacing m when it lies above it. Samples above a spacing never get less
    from it than samples below: w_m >= l_m.

    Attributes:
      winners: w, [..., B-1], the weight of spacing m for samples above it.
      losers: l, [..., B-1], the weight of spacing m for samples below it.
      anchor: a, [...], the weight of the largest reward.
    """

    winners: Scalars
    losers: Scalars
    anchor: Scalars = 0.0

    def minus(self, other: "RankWeights", scale: Scalars = 1.0) -> "RankWeights":
        """Weights of `self - scale * other`, where `scale` belongs to the group."""
        return RankWeights(
            self.winners - scale * other.winners,
            self.losers - scale * other.losers,
            self.anchor - (scale * other.anchor),
        )

    def centred(self, gap: Scalars, group_size: Scalars) -> "RankWeights":
        """Weights of the advantages less their mean: spacing m is won by B - m samples of B."""
        mean = ((group_size - gap) * self.winners + gap * self.losers) / group_size
        return RankWeights(self.winners - mean, self.losers - mean, 0.0 * self.anchor)


WeightRule = Callable[[Scalars, Scalars, Scalars, SubsetProbability], RankWeights]
"""`(gap m = 1..B-1, group size B, K, subset probability) -> RankWeights`: an estimator as data."""


def rank_weights(
    rule: WeightRule,
    group_size: int,
    k: int | jax.Array,
    dtype: jnp.dtype,
    num_valid: jax.Array | None = None,
) -> RankWeights:
    """Evaluate a weight rule: on the host in float64 where it can be, else in traced arithmetic.

    Args:
      rule: the estimator's weights. Static.
      group_size: B, samples per group, padding included. Static.
      k: K, a Python int (host arithmetic) or a traced integer scalar.
      dtype: floating dtype of the weights. Static.
      num_valid: [...] valid samples of each group where some are masked; takes the place of B.

    Returns:
      Weights of shape [B-1], or [..., B-1] with one row per group where `num_valid` is given.
    """
    gap = np.arange(1, group_size)
    if num_valid is None and isinstance(k, int):
        weights = rule(gap, group_size, k, subset_probability)
        return RankWeights(*(jnp.asarray(np.asarray(w), dtype) for w in weights))

    probability = traced_subset_probability(group_size, dtype)

    def weights_of_group(size: jax.Array) -> RankWeights:
        # Floats of the working dtype hold these integers exactly and never promote.
        weights = rule(jnp.asarray(gap, dtype), size, jnp.asarray(k).astype(dtype), probability)
        return RankWeights(*(jnp.asarray(w, dtype) for w in weights))

    if num_valid is None:
        return weights_of_group(jnp.asarray(group_size, dtype))
    flat = jax.vmap(weights_of_group)(num_valid.reshape(-1).astype(dtype))
    return RankWeights(*(w.reshape(*num_valid.shape, *w.shape[1:]) for w in flat))


@jax.jit
def weigh_spacings(rewards: jax.Array, weights: RankWeights) -> jax.Array:
    """Apply rank weights to rewards: sort, weigh the spacings, accumulate, put back in order.

    Equal rewards get equal results to the last bit, and adding a constant to all rewards changes
    nothing but the anchor's term, to the last bit that the rewards have.

    Args:
      rewards: [..., B] floating-point rewards. Masked samples hold the largest valid reward.
      weights: `RankWeights` of shape [B-1], or [..., B-1].

    Returns:
      [..., B] weighted sums in the order of `rewards`.
    """
    ranked, unsort = sort_with_inverse(rewards)
    spacing = jnp.diff(ranked, axis=-1)
    winners, losers = (_like(w, spacing) for w in (weights.winners, weights.losers))
    anchor = jnp.broadcast_to(weights.anchor, rewards.shape[:-1])
    lowest = anchor * ranked[..., -1] + jnp.sum(losers * spacing, axis=-1)
    climbed = _cumulative_sum_with_ties((winners - losers) * spacing, spacing > 0)
    return unsort(lowest[..., None] + climbed)


def _like(weights: jax.Array, spacing: jax.Array) -> jax.Array:
    return jnp.broadcast_to(weights, spacing.shape)


def _cumulative_sum_with_ties(increments: jax.Array, distinct: jax.Array) -> jax.Array:
    """Cumulative sum [..., B-1] -> [..., B] from 0 on, equal to the last bit along ties.

    A parallel prefix sum adds up neighbours in different orders, so that adding zero may change
    the last bit. The increments are non-negative: the running maximum over the first samples of
    the runs of ties is the same sum, and constant along each run.
    """
    first = jnp.zeros((*increments.shape[:-1], 1), increments.dtype)
    sums = jnp.cumsum(increments, axis=-1)
    of_runs = jnp.where(distinct, sums, jnp.zeros((), sums.dtype))
    return jnp.concatenate([first, jax.lax.cummax(of_runs, axis=of_runs.ndim - 1)], axis=-1)


def weighted_advantages(
    rule: WeightRule, rewards: jax.Array, k: int | jax.Array, where: jax.Array | None
) -> jax.Array:
    """Advantages of a rank-weighted estimator, from its weight rule.

    Args:
      rule: the estimator as data. Static.
      rewards: [..., B] finite floating-point rewards; masked samples hold the largest valid one.
      k: K, a Python int or a traced integer scalar.
      where: [..., B] valid samples, or None for all.

    Returns:
      [..., B] advantages; those of masked samples are the largest of their group.
    """
    num_valid = None if where is None else jnp.sum(where, axis=-1)
    weights = rank_weights(rule, rewards.shape[-1], k, rewards.dtype, num_valid)
    return weigh_spacings(rewards, weights)
