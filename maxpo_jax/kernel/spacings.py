"""The kernel of all rank-weighted estimators: weighted sums of the spacings of sorted rewards."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from maxpo_jax.kernel.rank_weights import (
    Scalars,
    SubsetProbability,
    subset_probability,
    traced_subset_probability,
)
from maxpo_jax.kernel.sorting import (
    FEWEST_SIDE_BY_SIDE,
    LONGEST_LOOP,
    LONGEST_NETWORK,
    look_up_by_comparison,
    look_up_by_rank,
    lowest_rank,
    network_sort,
    sort_in_a_loop,
    sortable_integers,
    undo_exchanges,
    values_of,
)


class RankWeights(NamedTuple):
    r"""Weights that turn sorted rewards into advantages.

    With R_(1) <= ... <= R_(B) and spacings d_m = R_(m+1) - R_(m), the sample of rank i gets

    .. math:: A_{(i)} = a R_{(B)} + \sum_{m=1}^{B-1} f_m d_m + \sum_{m < i} r_m d_m.

    Attributes:
      rise: r, [..., B-1], what a sample gains from lying above spacing m.
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

    def centered(self, gap: Scalars, group_size: Scalars) -> "RankWeights":
        """Weights of the advantages less their mean: B - m of B samples lie above spacing m."""
        return RankWeights(self.rise, -(group_size - gap) / group_size * self.rise)


WeightRule = Callable[[Scalars, Scalars, Scalars, SubsetProbability], RankWeights]
"""`(gap m = 1..B-1, group size B, K, subset probability) -> RankWeights`: an estimator as data."""


@functools.lru_cache(maxsize=128)
def weights_on_host(rule: WeightRule, group_size: int, k: int) -> RankWeights:
    """Evaluate a weight rule in NumPy, in float64.

    Args:
      rule: the estimator's weights.
      group_size: B, samples per group.
      k: K.

    Returns:
      Weights of shape [B-1], which are kept for the next call and cannot be written to.
    """
    weights = rule(np.arange(1, group_size), group_size, k, subset_probability)
    arrays = RankWeights(*(np.asarray(weight, np.float64) for weight in weights))
    for array in arrays:
        array.setflags(write=False)
    return arrays


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
    if num_valid is None and isinstance(k, int):
        weights = weights_on_host(rule, group_size, k)
        return RankWeights(*(jnp.asarray(weight, dtype) for weight in weights))

    probability = traced_subset_probability(group_size, dtype)

    # Floats of the working dtype hold these integers exactly and never promote.
    gaps = jnp.asarray(np.arange(1, group_size), dtype)

    def weights_of_group(gaps: jax.Array, size: jax.Array) -> RankWeights:
        weights = rule(gaps, size, jnp.asarray(k).astype(dtype), probability)
        return RankWeights(*(jnp.asarray(w, dtype) for w in weights))

    def weights_of_masked_group(size: jax.Array) -> RankWeights:
        # A rule means nothing between masked samples, and its weights overflow there.
        weights = weights_of_group(jnp.clip(gaps, 1, jnp.maximum(size - 1, 1)), size)
        rise, floor = (jnp.where(gaps < size, w, jnp.zeros((), dtype)) for w in weights[:2])
        return RankWeights(rise, floor, weights.anchor)

    if num_valid is None:
        return weights_of_group(gaps, jnp.asarray(group_size, dtype))
    flat = jax.vmap(weights_of_masked_group)(num_valid.reshape(-1).astype(dtype))
    return RankWeights(*(w.reshape(*num_valid.shape, *w.shape[1:]) for w in flat))


SAMPLES_OF_SHORT_GROUPS = 2**20  # in a block, which stays in the cache that the cores share
SAMPLES_OF_LONG_GROUPS = 2**15  # in a block, which stays in the cache of one core
RANKS_PER_PIECE = 8  # of a short group, added up before they are added to the ranks below
SAMPLES_PER_PIECE = 32  # added up plainly; pieces are added up with what rounding took


@jax.jit
def weigh_spacings(rewards: jax.Array, weights: RankWeights) -> jax.Array:
    """Apply rank weights to rewards: sort, weigh the spacings, accumulate, put back in order.

    Equal rewards get equal results to the last bit, and adding a constant to all rewards changes
    nothing but the anchor's term, to the last bit that the rewards have. Many groups are worked
    off in blocks that stay in the cache.

    Args:
      rewards: [..., B] finite floating-point rewards. Masked samples hold the largest valid one.
      weights: `RankWeights` of shape [B-1], or [..., B-1].

    Returns:
      [..., B] weighted sums in the order of `rewards`.
    """
    size, num_groups = rewards.shape[-1], math.prod(rewards.shape[:-1])
    groups = rewards.reshape(num_groups, size)
    if weights.rise.ndim > 1:
        weights = RankWeights(
            weights.rise.reshape(num_groups, size - 1),
            weights.floor.reshape(num_groups, size - 1),
            weights.anchor.reshape(num_groups),
        )
    if size <= LONGEST_NETWORK:
        weigh, most, least = _weigh_short_groups, SAMPLES_OF_SHORT_GROUPS // size, 1
    elif size <= LONGEST_LOOP and num_groups >= FEWEST_SIDE_BY_SIDE:
        weigh, most = _weigh_groups_in_loops, SAMPLES_OF_LONG_GROUPS // size
        least = FEWEST_SIDE_BY_SIDE
    else:
        weigh, most, least = _weigh_long_groups, SAMPLES_OF_LONG_GROUPS // size, 1
    results = _in_blocks(weigh, most, least, groups, weights)
    return results.reshape(rewards.shape)


def _in_blocks(
    weigh: Callable[[jax.Array, RankWeights], jax.Array],
    most: int,
    least: int,
    groups: jax.Array,
    weights: RankWeights,
) -> jax.Array:
    """`weigh` on blocks of `least` or more, else at most `most` groups, one after the other."""
    num_groups, size = groups.shape
    num_blocks = _even_number_of_blocks(num_groups, max(most, 1), least)
    if num_blocks == 1:
        return weigh(groups, weights)
    block = -(-num_groups // num_blocks)
    missing = num_blocks * block - num_groups

    def blocks(array: jax.Array) -> jax.Array:
        padded = jnp.pad(array, ((0, missing), *((0, 0),) * (array.ndim - 1)))
        return padded.reshape(num_blocks, block, *array.shape[1:])

    if weights.rise.ndim == 1:
        results = jax.lax.map(lambda some: weigh(some, weights), blocks(groups))
    else:
        per_group = RankWeights(*(blocks(weight) for weight in weights))
        results = jax.lax.map(lambda some: weigh(*some), (blocks(groups), per_group))
    return results.reshape(num_blocks * block, size)[:num_groups]


def _even_number_of_blocks(num_groups: int, most: int, least: int) -> int:
    """A number that divides the groups, so that nothing is padded and copied, if one is near."""
    fewest, largest = max(-(-num_groups // most), 1), max(num_groups // least, 1)
    near = range(min(fewest, largest), min(2 * fewest, largest + 1))
    return next((count for count in near if num_groups % count == 0), near[0])


def _weigh_short_groups(groups: jax.Array, weights: RankWeights) -> jax.Array:
    """[G, B] -> [G, B] with the groups side by side: rank by rank, all groups at once."""
    values = groups.T
    ranked = network_sort(values)
    spacing = ranked[1:] - ranked[:-1]
    rise, floor = (_ranks_first(weight) for weight in (weights.rise, weights.floor))
    lowest = _climb(weights.anchor * ranked[-1], list(floor * spacing))[-1]
    results = _climb(lowest, list(rise * spacing))
    return look_up_by_comparison(values, ranked, jnp.stack(results)).T


def _climb(lowest: jax.Array, increments: list[jax.Array]) -> list[jax.Array]:
    """Cumulative sums from `lowest` on; short pieces of them, so that rounding does not add up."""
    results = [lowest]
    for index, increment in enumerate(increments):
        if index % RANKS_PER_PIECE == 0:
            start, climbed = results[-1], increment
        else:
            climbed = climbed + increment
        results.append(start + climbed)
    return results


def _ranks_first(weight: jax.Array) -> jax.Array:
    return weight[:, None] if weight.ndim == 1 else weight.T


def _weigh_groups_in_loops(groups: jax.Array, weights: RankWeights) -> jax.Array:
    """[G, B] -> [G, B] with the groups side by side, in a program that does not grow with B."""
    ranked, exchanges = sort_in_a_loop(groups.T)
    spacing = ranked[1:] - ranked[:-1]
    rise, floor = (_ranks_first(weight) for weight in (weights.rise, weights.floor))
    (total, lost), _ = _add_up((floor * spacing).T)
    lowest = weights.anchor * ranked[-1] + (total + lost)

    def climb(before: _Compensated, increment: jax.Array) -> tuple[_Compensated, jax.Array]:
        after = _plus(before, increment)
        return after, after[0] + after[1]

    _, climbed = jax.lax.scan(climb, (lowest, jnp.zeros_like(lowest)), rise * spacing)
    return undo_exchanges(jnp.concatenate([lowest[None], climbed]), exchanges).T


def _weigh_long_groups(groups: jax.Array, weights: RankWeights) -> jax.Array:
    """[G, B] -> [G, B], one group after the other."""
    ranked_integers = jnp.sort(sortable_integers(groups), axis=-1)
    ranked = values_of(ranked_integers, groups.dtype)
    spacing = jnp.diff(ranked, axis=-1)
    rise, floor = (jnp.broadcast_to(w, spacing.shape) for w in (weights.rise, weights.floor))
    lowest = weights.anchor * ranked[..., -1] + compensated_sum(floor * spacing)
    climbed = lowest[..., None] + _cumulative_sum(rise * spacing)
    results = jnp.concatenate([lowest[..., None], climbed], axis=-1)
    return look_up_by_rank(lowest_rank(groups, ranked_integers), results)


def _two_sum(left: jax.Array, right: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The sum, and exactly what rounding took from it (Knuth).

    Without it the error of a long sum grows with its length, and exceeds that of its terms.
    """
    total = left + right
    part = total - left
    return total, (left - (total - part)) + (right - part)


_Compensated = tuple[jax.Array, jax.Array]


def _plus(before: _Compensated, term: jax.Array) -> _Compensated:
    total, lost = _two_sum(before[0], term)
    return total, before[1] + lost


def _cumulative_sum(increments: jax.Array) -> jax.Array:
    """Cumulative sums over the last axis, to a few roundings however long it is."""
    within = jnp.cumsum(_pieces(increments), axis=-1)
    _, (sums, lost) = _add_up(within[..., -1])
    climbed = sums[..., None] + (within + lost[..., None])
    length = within.shape[-2] * within.shape[-1]
    return climbed.reshape(*increments.shape[:-1], length)[..., : increments.shape[-1]]


def compensated_sum(increments: jax.Array) -> jax.Array:
    """Sum over the last axis, to a few roundings however long it is.

    Args:
      increments: [..., N] floating-point terms.

    Returns:
      [...] sums.

    Example:
      >>> float(compensated_sum(jnp.full(10_000, 0.1, jnp.float32)))
      1000.0
    """
    (total, lost), _ = _add_up(jnp.sum(_pieces(increments), axis=-1))
    return total + lost


def _pieces(increments: jax.Array) -> jax.Array:
    """[..., N] -> [..., pieces, SAMPLES_PER_PIECE] with zeros behind."""
    *lead, length = increments.shape
    num_pieces = -(-length // SAMPLES_PER_PIECE)
    padding = ((0, 0),) * len(lead) + ((0, num_pieces * SAMPLES_PER_PIECE - length),)
    return jnp.pad(increments, padding).reshape(*lead, num_pieces, SAMPLES_PER_PIECE)


def _add_up(totals: jax.Array) -> tuple[_Compensated, _Compensated]:
    """Sum over the last axis, and the sums before each entry, each with what rounding took."""

    def add(before: _Compensated, total: jax.Array) -> tuple[_Compensated, _Compensated]:
        return _plus(before, total), before

    zero = jnp.zeros_like(totals[..., 0])  # as zeros of the shape, but varies over the same devices
    total, (sums, lost) = jax.lax.scan(add, (zero, zero), jnp.moveaxis(totals, -1, 0))
    return total, (jnp.moveaxis(sums, 0, -1), jnp.moveaxis(lost, 0, -1))


def weigh_spacings_on_host(rewards: np.ndarray, weights: RankWeights) -> np.ndarray:
    """`weigh_spacings` in NumPy, which compiles nothing and uses no accelerator.

    Args:
      rewards: [G, B] finite float64 rewards.
      weights: `RankWeights` of shape [B-1].

    Returns:
      [G, B] weighted sums in the order of `rewards`.

    Example:
      >>> weights = RankWeights(np.array([1.0, 2.0]), np.zeros(2))
      >>> weigh_spacings_on_host(np.array([[5.0, 0.0, 1.0]]), weights).tolist()
      [[9.0, 0.0, 1.0]]
    """
    sample = np.argsort(rewards, axis=-1)
    sample += np.arange(0, rewards.size, rewards.shape[-1])[:, None]  # among all G * B
    ranked = rewards.take(sample)
    spacing = ranked[:, 1:] - ranked[:, :-1]
    by_rank = np.empty_like(ranked)
    by_rank[:, 0] = weights.anchor * ranked[:, -1] + (weights.floor * spacing).sum(axis=-1)
    np.multiply(weights.rise, spacing, out=by_rank[:, 1:])
    results = np.empty_like(ranked)
    # A spacing of 0 leaves a cumulative sum as it is, to the last bit, so that ties are equal.
    results.reshape(-1)[sample] = by_rank.cumsum(axis=-1)
    return results


def weighted_advantages(
    rule: WeightRule, rewards: jax.Array, k: int | jax.Array, where: jax.Array | None
) -> jax.Array:
    """Advantages of a rank-weighted estimator, from its weight rule.

    Args:
      rule: the estimator as data. Static.
      rewards: [..., B] finite floating-point rewards; masked samples hold the largest valid one.
        Groups [G, B] in NumPy, without a mask, stay in NumPy.
      k: K, a Python int or a traced integer scalar.
      where: [..., B] valid samples, or None for all.

    Returns:
      [..., B] advantages; those of masked samples are the largest of their group.
    """
    if isinstance(rewards, np.ndarray) and isinstance(k, int) and where is None:
        return weigh_spacings_on_host(rewards, weights_on_host(rule, rewards.shape[-1], k))
    num_valid = None if where is None else jnp.sum(where, axis=-1)
    weights = rank_weights(rule, rewards.shape[-1], k, rewards.dtype, num_valid)
    return weigh_spacings(rewards, weights)
