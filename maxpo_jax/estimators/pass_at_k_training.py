"""Pass@k Training (Chen et al.): subsets of K samples share the advantage of their maximum.

Subsets are drawn without replacement, either as a partition of the group (full sampling) or one
after the other (bootstrap sampling); for 0/1 rewards there is a closed form in the place of draws.
Memory grows with B^2 per group, because the subsets are held as a matrix of members.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from maxpo_jax.estimators.contract import BELOW_GROUP_SIZE, KRange, register
from maxpo_jax.estimators.group_statistics import (
    array_namespace,
    deviations,
    standardized,
    total,
)
from maxpo_jax.kernel.rank_weights import subset_probability, traced_subset_probability
from maxpo_jax.kernel.spacings import compensated_sum

TWO_SUBSETS = KRange(
    smallest=lambda group_size: 1,
    largest=lambda group_size: group_size // 2,
    text="1 <= k <= B / 2",
    advice="Its baseline is the mean of at least two subsets of k: draw more, or use 'maxpo'.",
    smallest_group=2,
)


def partition(
    key: jax.Array, rewards: jax.Array, k: Any, where: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """A random partition of each group into floor(B/K) subsets of K; what is left over is dropped.

    Args:
      key: typed key; it is consumed.
      rewards: [..., B], only for its shape.
      k: K, an int or a traced integer scalar.
      where: [..., B] valid samples, or None.

    Returns:
      members: [..., B, B] boolean, subsets by samples.
      drawn: [..., B] boolean, which of the B places for subsets are filled.
    """
    position = _random_ranks(key, rewards.shape, where)
    group_size = rewards.shape[-1]
    k = jnp.asarray(k).astype(position.dtype)
    subset = jnp.arange(group_size, dtype=position.dtype)
    num_valid = _num_valid(rewards, where).astype(position.dtype)
    drawn = jnp.broadcast_to(subset, rewards.shape) < num_valid[..., None] // k
    subset = subset.reshape((1,) * (rewards.ndim - 1) + (group_size, 1))
    return (position[..., None, :] // k == subset) & drawn[..., None], drawn


def bootstrap(
    key: jax.Array, rewards: jax.Array, k: Any, where: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """B random subsets of K distinct samples of each group, independent of each other.

    Args:
      key: typed key; it is consumed.
      rewards: [..., B], only for its shape.
      k: K, an int or a traced integer scalar.
      where: [..., B] valid samples, or None; only as many subsets as valid samples are drawn.

    Returns:
      members: [..., B, B] boolean, subsets by samples.
      drawn: [..., B] boolean, which of the B places for subsets are filled.
    """
    group_size = rewards.shape[-1]
    shape = (*rewards.shape, group_size)
    valid = None if where is None else jnp.broadcast_to(where[..., None, :], shape)
    rank = _random_ranks(key, shape, valid)
    subset = jnp.broadcast_to(jnp.arange(group_size, dtype=rank.dtype), rewards.shape)
    drawn = subset < _num_valid(rewards, where).astype(rank.dtype)[..., None]
    return (rank < jnp.asarray(k).astype(rank.dtype)) & drawn[..., None], drawn


def _random_ranks(key: jax.Array, shape: tuple[int, ...], where: jax.Array | None) -> jax.Array:
    """A random permutation along the last axis, with the valid entries first."""
    draws = jax.random.uniform(key, shape)
    if where is not None:
        draws = jnp.where(where, draws, jnp.full((), 2, draws.dtype))
    return jnp.argsort(jnp.argsort(draws, axis=-1), axis=-1)


def _num_valid(rewards: jax.Array, where: jax.Array | None) -> jax.Array:
    if where is None:
        return jnp.full(rewards.shape[:-1], rewards.shape[-1])
    return jnp.sum(where, axis=-1)


def subset_maxima(rewards: jax.Array, members: jax.Array) -> jax.Array:
    """The largest reward in each subset; an empty subset has the smallest reward of its group.

    Args:
      rewards: [..., B] rewards.
      members: [..., M, B] boolean, subsets by samples.

    Returns:
      [..., M] maxima.
    """
    lowest = jnp.min(rewards, axis=-1)[..., None, None]
    return jnp.max(jnp.where(members, rewards[..., None, :], lowest), axis=-1)


def share(members: jax.Array, advantages: jax.Array) -> jax.Array:
    """Every sample gets the sum [..., B] of the advantages [..., M] of the subsets it is in."""
    shared = jnp.where(members, advantages[..., :, None], jnp.zeros((), advantages.dtype))
    return jnp.sum(shared, axis=-2)


@register(
    "pass_at_k_training_full",
    citation="chen2025passk",
    equation="full sampling, without division by the standard deviation",
    unbiased=True,
    centered=True,
    k_range=TWO_SUBSETS,
    scale=lambda group_size, k: k * (group_size // k - 1) / group_size,
    randomized=True,
)
def pass_at_k_training_full(
    rewards: jax.Array, k: Any, *, key: jax.Array, where: jax.Array | None = None
) -> jax.Array:
    r"""Full sampling: a random partition into subsets of K, each less the mean of all subsets.

    .. math:: A_i = \max_{j \in S(i)} R_j - \frac{1}{G} \sum_{g=1}^{G} \max_{j \in S_g} R_j,
       \qquad G = \lfloor B/K \rfloor

    with S(i) the subset of sample i; samples left over get 0. Its source draws no partition, but
    takes the samples as they come, which for independent samples is the same.

    Args:
      rewards: [..., B] rewards of the samples of each group.
      k: K of max@K, 1 <= k <= B / 2; a Python int, or a traced integer scalar.
      key: typed key of the draw; it is consumed.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages.

    Raises:
      ValueError: as `maxpo_jax.maxpo`.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> A = pass_at_k_training_full(jnp.array([1.0, 1.0, 1.0, 3.0]), k=2, key=jax.random.key(0))
      >>> sorted(A.tolist())
      [-1.0, -1.0, 1.0, 1.0]

    Source: Chen et al., 2025, "Pass@k Training for Adaptively Balancing Exploration and
    Exploitation of Large Reasoning Models", arXiv:2508.10751,
    before its division by the standard deviation.

    Unbiased for (G-1)/B grad J_K (times K in the convention g = (K/B) sum_i A_i grad log pi) with
    independent samples of the current policy, 2K <= B.
    """
    members, drawn = partition(key, rewards, k, where)
    return share(members, deviations(subset_maxima(rewards, members), drawn))


@register(
    "pass_at_k_training_full_std",
    citation="chen2025passk",
    equation="full sampling",
    unbiased=False,
    centered=True,
    scale_equivariant=False,
    k_range=TWO_SUBSETS,
    randomized=True,
)
def pass_at_k_training_full_std(
    rewards: jax.Array, k: Any, *, key: jax.Array, where: jax.Array | None = None
) -> jax.Array:
    r"""`pass_at_k_training_full` over the standard deviation of the maxima of the subsets.

    .. math:: A_i = \frac{\max_{j \in S(i)} R_j - \mu}{\sigma}, \qquad 0 \text{ if all maxima are
       equal}

    with mu and sigma the mean and the standard deviation (divisor G, no epsilon) of the G maxima.

    Args:
      rewards: [..., B] rewards of the samples of each group.
      k: K of max@K, 1 <= k <= B / 2; a Python int, or a traced integer scalar.
      key: typed key of the draw; it is consumed.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages.

    Raises:
      ValueError: as `maxpo_jax.maxpo`.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> rewards = jnp.array([1.0, 1.0, 1.0, 4.0])
      >>> sorted(pass_at_k_training_full_std(rewards, k=2, key=jax.random.key(0)).tolist())
      [-1.0, -1.0, 1.0, 1.0]

    Source: Chen et al., 2025, "Pass@k Training for Adaptively Balancing Exploration and
    Exploitation of Large Reasoning Models", arXiv:2508.10751.

    Biased for grad J_K: the deviation of the same group weighs each group by its own luck.
    """
    members, drawn = partition(key, rewards, k, where)
    maxima = subset_maxima(rewards, members)
    return share(members, standardized(maxima, drawn, ddof=0, epsilon=0.0))


@register(
    "pass_at_k_training_bootstrap",
    citation="chen2025passk",
    equation="bootstrap sampling, without division by the standard deviation",
    unbiased=True,
    centered=True,
    k_range=BELOW_GROUP_SIZE,
    scale=lambda group_size, k: k * (group_size - 1) * (group_size - k) / group_size**2,
    randomized=True,
)
def pass_at_k_training_bootstrap(
    rewards: jax.Array, k: Any, *, key: jax.Array, where: jax.Array | None = None
) -> jax.Array:
    r"""Bootstrap sampling: B random subsets of K, each less the mean of all, summed by sample.

    .. math:: A_i = \sum_{g: i \in S_g} \Big( \max_{j \in S_g} R_j
       - \frac{1}{B} \sum_{h=1}^{B} \max_{j \in S_h} R_j \Big)

    Its mean over draws is (B-1) K (B-K) / B^2 times MaxPO.

    Args:
      rewards: [..., B] rewards of the samples of each group.
      k: K of max@K, 1 <= k <= B - 1; a Python int, or a traced integer scalar.
      key: typed key of the draw; it is consumed.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages.

    Raises:
      ValueError: as `maxpo_jax.maxpo`.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> rewards = jnp.array([1.0, 1.0, 1.0, 1.0])
      >>> pass_at_k_training_bootstrap(rewards, k=2, key=jax.random.key(0)).tolist()
      [0.0, 0.0, 0.0, 0.0]

    Source: Chen et al., 2025, "Pass@k Training for Adaptively Balancing Exploration and
    Exploitation of Large Reasoning Models", arXiv:2508.10751,
    before its division by the standard deviation.

    Unbiased for (B-1)(B-K)/B^2 grad J_K (times K in the convention g = (K/B) sum_i A_i grad log pi)
    with independent samples of the current policy, 1 <= K <= B - 1.
    """
    members, drawn = bootstrap(key, rewards, k, where)
    return share(members, deviations(subset_maxima(rewards, members), drawn))


@register(
    "pass_at_k_training_bootstrap_std",
    citation="chen2025passk",
    equation="bootstrap sampling",
    unbiased=False,
    centered=True,
    scale_equivariant=False,
    k_range=BELOW_GROUP_SIZE,
    randomized=True,
)
def pass_at_k_training_bootstrap_std(
    rewards: jax.Array, k: Any, *, key: jax.Array, where: jax.Array | None = None
) -> jax.Array:
    r"""`pass_at_k_training_bootstrap` over the standard deviation of the maxima of the subsets.

    .. math:: A_i = \sum_{g: i \in S_g} \frac{\max_{j \in S_g} R_j - \mu}{\sigma}, \qquad
       0 \text{ if all maxima are equal}

    with mu and sigma the mean and the standard deviation (divisor B, no epsilon) of the B maxima.

    Args:
      rewards: [..., B] rewards of the samples of each group.
      k: K of max@K, 1 <= k <= B - 1; a Python int, or a traced integer scalar.
      key: typed key of the draw; it is consumed.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages.

    Raises:
      ValueError: as `maxpo_jax.maxpo`.

    Example:
      >>> import jax
      >>> import jax.numpy as jnp
      >>> rewards = jnp.array([1.0, 1.0, 1.0, 1.0])
      >>> pass_at_k_training_bootstrap_std(rewards, k=2, key=jax.random.key(0)).tolist()
      [0.0, 0.0, 0.0, 0.0]

    Source: Chen et al., 2025, "Pass@k Training for Adaptively Balancing Exploration and
    Exploitation of Large Reasoning Models", arXiv:2508.10751.

    Biased for grad J_K: the deviation of the same group weighs each group by its own luck.
    """
    members, drawn = bootstrap(key, rewards, k, where)
    maxima = subset_maxima(rewards, members)
    return share(members, standardized(maxima, drawn, ddof=0, epsilon=0.0))


@register(
    "pass_at_k_training_analytic",
    citation="chen2025passk",
    equation="analytical derivation",
    unbiased=False,
    centered=True,
    scale_equivariant=False,
    k_range=BELOW_GROUP_SIZE,
    reward_type="binary",
)
def pass_at_k_training_analytic(
    rewards: jax.Array, k: Any, *, where: jax.Array | None = None
) -> jax.Array:
    r"""Analytic Pass@k Training: the closed form of bootstrap sampling for 0/1 rewards.

    .. math:: A_+ = \frac{1 - \rho}{\sigma}, \quad
       A_- = \frac{1 - \rho - \binom{N-1}{K-1} / \binom{B-1}{K-1}}{\sigma}, \qquad
       \rho = 1 - \binom{N}{K} \Big/ \binom{B}{K}, \quad \sigma = \sqrt{\rho (1 - \rho)}

    with N failures; 0 where sigma is. It equals (B-K)/B times MaxPO over sigma. No epsilon; the
    code of its source adds 1e-6 to sigma.

    Args:
      rewards: [..., B] rewards of the samples of each group, each 0 or 1.
      k: K of pass@K, 1 <= k <= B - 1; a Python int, or a traced integer scalar.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages.

    Raises:
      ValueError: as `maxpo_jax.maxpo`; rewards other than 0 and 1.

    Example:
      >>> import jax.numpy as jnp
      >>> advantages = pass_at_k_training_analytic(jnp.array([0.0, 0.0, 0.0, 1.0]), k=2)
      >>> [round(a, 3) for a in advantages.tolist()]
      [-0.333, -0.333, -0.333, 1.0]

    Source: Chen et al., 2025, "Pass@k Training for Adaptively Balancing Exploration and
    Exploitation of Large Reasoning Models", arXiv:2508.10751.

    Biased for grad pass@K by a weight that depends on pass@K, since sigma comes from the same
    group; for B -> infinity it follows the gradient of (2/K) arcsin sqrt(pass@K).
    """
    xp, group_size = array_namespace(rewards), rewards.shape[-1]
    failures, successes = total(1 - rewards, where), total(rewards, where)
    if where is None and isinstance(k, int):
        tables = _missed_and_hit_tables(group_size, k)
        missed, hit = (xp.asarray(t, rewards.dtype)[failures.astype(np.int32)] for t in tables)
    else:
        probability = traced_subset_probability(group_size, rewards.dtype)
        count = jnp.asarray(k).astype(rewards.dtype)
        missed = probability(failures, failures + successes, count)
        hit = _hit(failures, failures + successes, count, group_size, missed)
    odds = xp.where(hit > 0, missed / xp.where(hit > 0, hit, 1), xp.zeros_like(hit))
    of_success = xp.sqrt(odds)  # (1 - rho) / sigma
    of_failure = -successes / xp.maximum(failures, 1) * of_success  # what centers the group
    return xp.where(rewards == 1, of_success, of_failure)


def _missed_and_hit_tables(group_size: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """1 - rho and rho for 0..B failures, subtracted in float64 before they are rounded."""
    missed = subset_probability(np.arange(group_size + 1), group_size, k)
    return missed, 1 - missed


def _hit(
    failures: jax.Array, size: jax.Array, k: jax.Array, group_size: int, missed: jax.Array
) -> jax.Array:
    """The chance rho [..., 1] that K samples hold a success, also where it is close to 0.

    There 1 - missed would cancel, and the logarithm of missed = prod_{x=N+1}^{B} (1 - K/x) is
    added up instead, from terms of one sign.
    """
    x = jnp.arange(1, group_size + 1, dtype=missed.dtype)
    x = x.reshape((1,) * (failures.ndim - 1) + (group_size,))
    counts = (x > jnp.maximum(failures, k)) & (x <= size)
    logarithms = jnp.log1p(-k / jnp.where(counts, x, k + 1))
    total = compensated_sum(jnp.where(counts, logarithms, jnp.zeros_like(logarithms)))
    return jnp.where(missed > 0.5, -jnp.expm1(total[..., None]), 1 - missed)
