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

    .. math:: A_{(i)} = a R_{(B)} + \sum_{m=1}^{B-1} f_m d_m + \sum_{m < i} r_m d_m.

    Attributes:
      rise: r, [..., B-1], what a sample gains from lying above spacing m. The kernel asks for
        r_m >= 0: a better reward never has a worse advantage.
      floor: f, [..., B-1], what spacing m gives to every sample.
      anchor: a, [...], the weight of the largest reward.
    """

    rise: Scalars
    floor: Scalars
    anchor: Scalars = 0.0

    def minus(self, other: "RankWeights", scale: Scalars = 1.0) -> "RankWeights":
        """Weights of `self - scale * other`, where `scale` belongs to the group."""
        return RankWeights(
            self.rise - scale * other.rise,
            self.floor - scale * other.floor,
            self.anchor - scale * other.anchor,
        )

    def centred(self, gap: Scalars, group_size: Scalars) -> "RankWeights":
        """Weights of the advantages less their mean: B - m of B samples lie above spacing m."""
        return RankWeights(self.rise, -(group_size - gap) / group_size * self.rise)


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
    rise, floor = (jnp.broadcast_to(w, spacing.shape) for w in (weights.rise, weights.floor))
    anchor = jnp.broadcast_to(weights.anchor, rewards.shape[:-1])
    shared = (anchor * ranked[..., -1])[..., None] + cumulative_sum(floor, spacing)[..., -1:]
    climbed = _equal_along_ties(cumulative_sum(rise, spacing), spacing)
    return unsort(shared + climbed)


def cumulative_sum(weights: jax.Array, spacing: jax.Array) -> jax.Array:
    """Cumulative sums of weights * spacing [..., N] -> [..., N + 1], precise to a rounding.

    Each partial sum carries what its additions rounded away (Knuth's two-sum), without which the
    error grows with the number of increments and exceeds that of their products.
    """
    # The choice keeps a compiler from fusing product and sum, which would make the two-sum see
    # one product rounded and the next one exact.
    increments = jnp.where(spacing > 0, weights * spacing, jnp.zeros((), spacing.dtype))

    def add(
        left: tuple[jax.Array, jax.Array], right: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        total = left[0] + right[0]
        part = total - left[0]
        lost = (left[0] - (total - part)) + (right[0] - part)
        return total, left[1] + right[1] + lost

    sums, lost = jax.lax.associative_scan(add, (increments, jnp.zeros_like(increments)), axis=-1)
    first = jnp.zeros((*increments.shape[:-1], 1), increments.dtype)
    return jnp.concatenate([first, sums + lost], axis=-1)


def _equal_along_ties(sums: jax.Array, spacing: jax.Array) -> jax.Array:
    """Non-decreasing sums [..., B], made equal to the last bit along ties.

    A parallel prefix sum adds up neighbours in different orders, so that adding zero may change
    the last bit. The running maximum over the first samples of the runs of ties is the same sum,
    and constant along each run.
    """
    first_of_runs = jnp.where(spacing > 0, sums[..., 1:], jnp.zeros((), sums.dtype))
    climbed = jax.lax.cummax(first_of_runs, axis=sums.ndim - 1)
    return jnp.concatenate([sums[..., :1], climbed], axis=-1)


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
