"""The max@K family: expected improvement, MaxPO, canonical advantage, and the batch estimate."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from maxpo_jax.estimators import checks
from maxpo_jax.estimators.contract import (
    BELOW_GROUP_SIZE,
    UP_TO_GROUP_SIZE,
    nan_where_unfit,
    prepare,
    register,
)
from maxpo_jax.estimators.group_sharding import on_own_groups
from maxpo_jax.kernel.rank_weights import Scalars, SubsetProbability
from maxpo_jax.kernel.spacings import RankWeights, rank_weights, weigh_spacings, weighted_advantages


def max_with_sample(m: Scalars, B: Scalars, K: Scalars, P: SubsetProbability) -> RankWeights:
    """Weights of u_i, the mean of max(R_i, max S) over the (K-1)-subsets S of the others."""
    overtaken = P(m - 1, B - 1, K - 1)
    return RankWeights(rise=overtaken, floor=-overtaken, anchor=1.0)


def max_without_sample(m: Scalars, B: Scalars, K: Scalars, P: SubsetProbability) -> RankWeights:
    """Weights of v_i, the mean of max S over the K-subsets S of the others."""
    above, below = P(m, B - 1, K), P(m - 1, B - 1, K)
    return RankWeights(rise=below - above, floor=-below, anchor=1.0)


def expected_improvement(m: Scalars, B: Scalars, K: Scalars, P: SubsetProbability) -> RankWeights:
    """Weights of EI_i, the mean of max(R_i - max S, 0) over (K-1)-subsets S; R_i at K = 1."""
    nobody_to_beat = P(0 * m, B - 1, K - 1)  # 1 at K = 1, else 0
    anchor = P(0, B - 1, K - 1)
    return RankWeights(rise=P(m, B - 1, K - 1), floor=-nobody_to_beat, anchor=anchor)


def improvement_over_two_left_out(
    m: Scalars, B: Scalars, K: Scalars, P: SubsetProbability
) -> RankWeights:
    """Weights of EI_i less the leave-two-out baseline."""
    return RankWeights(B / (B - 1) * P(m - 1, B - 2, K - 1), floor=0.0 * m).centered(m, B)


def _canonical(m: Scalars, B: Scalars, K: Scalars, P: SubsetProbability) -> RankWeights:
    return max_with_sample(m, B, K, P).minus(max_without_sample(m, B, K, P))


@register(
    "maxpo",
    citation="takashiro2026maxpo",
    equation="expected improvement less the leave-two-out baseline; here in closed form",
    unbiased=True,
    centered=True,
    k_range=BELOW_GROUP_SIZE,
)
def maxpo(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""MaxPO: expected improvement less its leave-two-out baseline, in O(B log B).

    .. math:: A_i = EI_i - \frac{1}{B-1} \sum_{j \ne i} EI_j^{(-i)} = u_i - v_i

    With sorted rewards and spacings d_m = R_(m+1) - R_(m) this is the centered cumulative sum

    .. math:: A_{(i)} = \sum_{m < i} w_m d_m - \text{mean}, \qquad
       w_m = \frac{B}{B-1} \binom{m-1}{K-1} \Big/ \binom{B-2}{K-1}.

    At K = 1 it is RLOO.

    Args:
      rewards: [..., B] rewards of the samples of each group.
      k: K of max@K, 1 <= k <= B - 1; a Python int, or a traced integer scalar.
      where: [..., B] boolean, valid samples; a group's B is the number of its valid samples, in
        the K/B of its gradient as well. Groups with too few of them for k are an error, and NaN
        inside jit: `maxpo_jax.grouped` leaves them out, and gives the K/B of every sample.

    Returns:
      [..., B] advantages in the dtype of the rewards (float32 for integers); 0 at masked samples.

    Raises:
      ValueError: k out of range, no group axis, or, outside jit, rewards that are not finite.
        Inside jit such a group is NaN and its neighbors are untouched.

    Example:
      >>> import jax.numpy as jnp
      >>> maxpo(jnp.array([[0.0, 3.0, 9.0], [1.0, 1.0, 1.0]]), k=2).tolist()
      [[-3.0, -3.0, 6.0], [0.0, 0.0, 0.0]]

    Source: Takashiro et al., 2026, "On Advantage Estimates for Max@K Policy Gradients",
    arXiv:2606.06080; the closed form is derived from its definition.

    Unbiased for grad J_K with independent samples of the current policy, 1 <= K <= B - 1. Among the
    deterministic, permutation-equivariant functions of the rewards alone it is the only one of
    which that is true and whose advantages sum to zero in every group. (With draws of its own
    `pass_at_k_training_full` does both as well, up to a constant factor, and more noisily.)
    """
    return weighted_advantages(improvement_over_two_left_out, rewards, k, where)


@register(
    "ei",
    citation="walder2025pkpo",
    equation="s^(loo-1), rescaled by B/K; expected improvement in takashiro2026maxpo",
    unbiased=True,
    centered=False,
    shift_invariant=False,
    k_range=UP_TO_GROUP_SIZE,
)
def ei(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""Expected improvement over the best of K - 1 others; the advantage PKPO recommends.

    .. math:: A_i = \binom{B-1}{K-1}^{-1} \sum_{S \not\ni i, |S| = K-1} \max(R_i - \max S, 0)

    At K = 1 there is nobody to improve on and A_i = R_i. For K >= 2 a constant added to all
    rewards changes nothing.

    Args:
      rewards: [..., B] rewards of the samples of each group.
      k: K of max@K, 1 <= k <= B; a Python int, or a traced integer scalar.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages, none negative for K >= 2.

    Raises:
      ValueError: as `maxpo`.

    Example:
      >>> import jax.numpy as jnp
      >>> ei(jnp.array([0.0, 3.0, 9.0]), k=2).tolist()
      [0.0, 1.5, 7.5]

    Source: Walder and Karkhanis, 2025, "Pass@K Policy Optimization", arXiv:2505.15201, s^(loo-1)
    times B/K.

    Unbiased for grad J_K with independent samples of the current policy, 1 <= K <= B; not centered,
    and centering it would bias it.
    """
    return weighted_advantages(expected_improvement, rewards, k, where)


@register(
    "canonical",
    citation="takashiro2026maxpo",
    equation="the canonical finite-batch advantage u - v",
    unbiased=True,
    centered=True,
    k_range=BELOW_GROUP_SIZE,
)
def canonical(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""The canonical advantage: the best of K with the sample less the best of K without it.

    .. math:: A_i = u_i - v_i, \quad
       u_i = \operatorname*{mean}_{|S|=K-1} \max(R_i, \max S), \quad
       v_i = \operatorname*{mean}_{|S|=K} \max S, \qquad S \subset \text{others}

    It equals `maxpo`; here u and v are weighed each on its own, so that each checks the other.

    Args:
      rewards: [..., B] rewards of the samples of each group.
      k: K of max@K, 1 <= k <= B - 1; a Python int, or a traced integer scalar.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages.

    Raises:
      ValueError: as `maxpo`.

    Example:
      >>> import jax.numpy as jnp
      >>> canonical(jnp.array([0.0, 3.0, 9.0]), k=2).tolist()
      [-3.0, -3.0, 6.0]

    Source: Takashiro et al., 2026, arXiv:2606.06080, the canonical finite-batch advantage.

    Unbiased for grad J_K with independent samples of the current policy, 1 <= K <= B - 1.
    """
    return weighted_advantages(_canonical, rewards, k, where)


def expected_max_at_k(rewards: ArrayLike, k: Any, *, where: ArrayLike | None = None) -> jax.Array:
    r"""Unbiased estimate of J_K from a group: the mean maximum over its K-subsets.

    .. math:: \rho_K = \binom{B}{K}^{-1} \sum_{|S| = K} \max_{i \in S} R_i

    For 0/1 rewards this is the pass@k estimate 1 - C(B - c, k) / C(B, k) with c successes.

    Args:
      rewards: [..., B] rewards of the samples of each group.
      k: K of max@K, 1 <= k <= B; a Python int, or a traced integer scalar.
      where: [..., B] boolean, valid samples.

    Returns:
      [...] estimates in the dtype of the rewards.

    Raises:
      ValueError: as `maxpo`.

    Example:
      >>> import jax.numpy as jnp
      >>> expected_max_at_k(jnp.array([0.0, 1.0, 3.0, 2.0]), k=4).tolist()
      3.0

    Source: Chen et al., 2021, "Evaluating Large Language Models Trained on Code",
    arXiv:2107.03374, eq. 1, for 0/1 rewards; Walder and Karkhanis, 2025, arXiv:2505.15201, for
    real ones.

    Unbiased for J_K with independent samples, 1 <= K <= B.
    """
    name = "expected_max_at_k"
    values = checks.rewards_array(name, rewards)
    mask = checks.mask_array(name, where, values)
    count = checks.integer_k(name, k)
    checks.check_k(name, count, UP_TO_GROUP_SIZE, values.shape[-1])
    checks.check_values(name, values, mask, count, UP_TO_GROUP_SIZE)
    return on_own_groups(name, _expected_max_at_k, values, (mask,), count, keeps_samples=False)


def _expected_max_at_k(
    values: jax.Array, mask: jax.Array | None, count: int | jax.Array
) -> jax.Array:
    working, fit = prepare(values, mask, count, UP_TO_GROUP_SIZE)
    num_valid = None if mask is None else jnp.sum(mask, axis=-1)
    weights = rank_weights(_best_of_subset, values.shape[-1], count, working.dtype, num_valid)
    estimate = weigh_spacings(working, weights)[..., 0]
    return nan_where_unfit(estimate, fit).astype(values.dtype)


def _best_of_subset(m: Scalars, B: Scalars, K: Scalars, P: SubsetProbability) -> RankWeights:
    return RankWeights(rise=0.0 * m, floor=-P(m, B, K), anchor=1.0)
