"""Any order statistic: the advantages of E[c_1 R_(1:K) + ... + c_K R_(K:K)], by one rule.

Take two samples on either side of a spacing, and K - 1 of the other B - 2. With the upper one of
the two in place of the lower one, the K samples sum up to as much more per unit of the spacing as
the coefficient of the rank that it takes among them. So a spacing weighs

    w_m = B/(B-1) E[c_(1+S)],    S of K - 1 drawn from the B - 2 others are among the m - 1 below.

The advantages are the centered cumulative sum of w_m d_m, as those of MaxPO, which counts the
largest of K alone: there w_m is the chance that all K - 1 lie below.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from maxpo_jax.estimators import checks
from maxpo_jax.estimators.checks import KRange
from maxpo_jax.estimators.contract import BELOW_GROUP_SIZE, register, under_contract
from maxpo_jax.kernel.rank_weights import Scalars, SubsetProbability
from maxpo_jax.kernel.spacings import RankWeights, WeightRule, weighted_advantages

FEWER_THAN_SAMPLES = KRange(
    smallest=lambda group_size: 1,
    largest=lambda group_size: group_size - 1,
    text="1 <= k <= B - 1",
    advice=(
        "k is the number of coefficients; a baseline needs a sample to spare, and at k = B no "
        "exactly centered unbiased estimator exists: draw a larger group, or pass fewer of them."
    ),
)
FROM_TWO_BELOW_GROUP_SIZE = KRange(
    smallest=lambda group_size: 2,
    largest=lambda group_size: group_size - 1,
    text="2 <= k <= B - 1",
    advice=(
        "The best two are two of k, and a baseline needs a sample to spare: draw a larger group, "
        "or use 'maxpo' for k = 1."
    ),
)


def order_statistic(
    rewards: ArrayLike, coefficients: Any, *, where: ArrayLike | None = None
) -> jax.Array:
    r"""The canonical advantage of any weighted sum of K sorted rewards, in O(B log B).

    .. math:: A_i = u_i - v_i, \quad
       u_i = \operatorname*{mean}_{|S|=K-1} \sum_{m=1}^K c_m \, (R_i, S)_{(m)}, \quad
       v_i = \operatorname*{mean}_{|S|=K} \sum_{m=1}^K c_m S_{(m)}, \qquad S \subset \text{others}

    With sorted rewards and spacings d_m = R_(m+1) - R_(m) this is the centered cumulative sum

    .. math:: A_{(i)} = \sum_{m < i} w_m d_m - \text{mean}, \qquad
       w_m = \frac{B}{B-1} \sum_{s=0}^{K-1} c_{s+1}
       \binom{m-1}{s} \binom{B-1-m}{K-1-s} \Big/ \binom{B-2}{K-1}.

    For c = (0, .., 0, 1) it is `maxpo`, for K coefficients of 1/K it is `rloo` over K (the
    convention g = (K/B) sum_i A_i grad log pi(x_i) multiplies by K), and it is linear in c.

    Args:
      rewards: [..., B] rewards of the samples of each group.
      coefficients: [K] c, for the smallest of K rewards first, 1 <= K <= B - 1; finite, of either
        sign. Static: numbers, a NumPy array, or for an argument of `jit` a tuple. See
        `maxpo_jax.coefficients`.
      where: [..., B] boolean, valid samples; a group's B is the number of its valid samples.

    Returns:
      [..., B] advantages in the dtype of the rewards (float32 for integers); 0 at masked samples.

    Raises:
      ValueError: coefficients that are empty, not finite, not one-dimensional, traced, or too many
        for the group; else as `maxpo`.

    Example:
      >>> from maxpo_jax import coefficients
      >>> rewards = jnp.array([0.0, 0.0, 9.0, 18.0])
      >>> order_statistic(rewards, coefficients.median_at_k(3)).tolist()
      [-6.0, -6.0, 6.0, 6.0]
      >>> order_statistic(rewards, coefficients.max_at_k(2)).round(3).tolist()
      [-6.0, -6.0, 0.0, 12.0]

    Source: Parmas et al., 2026, "OrderGrad: Optimizing Beyond the Mean with Order-Statistic Policy
    Gradient Estimation", arXiv:2606.06096, the likelihood-ratio advantage q_i - v^(-i) of rank
    weights, which count from the largest reward there; the closed form is derived here. The code of
    that paper makes the K weights of each of B ranks from log-gamma functions in the dtype of the
    rewards. In float32 this loses precision with B: for the largest of K, 2e-4 of the largest
    advantage at B = 64, K = 8 and 2e-3 at B = 1024, K = 32, and tied rewards come out apart. Here
    it is 5e-7 or less (of the advantages for |c|, where c has both signs), and ties are equal.

    Unbiased for grad J_c, J_c = E[sum_m c_m R_(m:K)], with independent samples of the current
    policy, 1 <= K <= B - 1, and the only such function of the rewards alone that treats samples
    alike and sums to zero in every group.
    """
    name = "order_statistic"
    known = checks.coefficients_tuple(name, coefficients)
    rule = _rule_of(known)

    def advantages(rewards: jax.Array, k: Any, *, where: jax.Array | None) -> jax.Array:
        return weighted_advantages(rule, rewards, k, where)

    return under_contract(name, advantages, FEWER_THAN_SAMPLES, "real")(
        rewards, len(known), where=where
    )


def _rule_of(coefficients: tuple[float, ...]) -> WeightRule:
    """The weights of an order statistic, looked up: from the host, whatever the group size."""

    def rule(m: Scalars, B: Scalars, K: Scalars, P: SubsetProbability) -> RankWeights:
        if isinstance(B, int):
            means: Scalars = _mean_coefficients(coefficients, B - 2)
        else:  # of one group among masked ones, which differ in size
            table = jnp.asarray(_mean_coefficients_up_to(coefficients, len(m) - 1), m.dtype)
            means = table[B.astype(jnp.int32), m.astype(jnp.int32) - 1]
        return _weights(means, m, B)

    return rule


def _weights(mean_coefficient: Scalars, m: Scalars, B: Scalars) -> RankWeights:
    return RankWeights(B / (B - 1) * mean_coefficient, floor=0.0 * m).centered(m, B)


def _with_one_more(means: np.ndarray) -> np.ndarray:
    """Mean coefficients [N + 1] of a sample with r of N others below it, from those of N - 1.

    An other left out at random is one of the r below with chance r/N. (So the degree of a Bernstein
    polynomial is elevated.) Means of means: no binomial is formed, and nothing cancels.
    """
    below = np.arange(len(means) + 1) / len(means)
    return below * np.append(0.0, means) + (1 - below) * np.append(means, 0.0)


@functools.lru_cache(maxsize=128)
def _mean_coefficients(coefficients: tuple[float, ...], num_others: int) -> np.ndarray:
    """[N + 1] mean coefficient of a sample with r = 0..N of N others below it, that meets K - 1."""
    means = np.array(coefficients)
    while len(means) < num_others + 1:
        means = _with_one_more(means)
    return means


def _mean_coefficients_up_to(coefficients: tuple[float, ...], num_others: int) -> np.ndarray:
    """[N + 3, N + 1] the same for each group of 0..N + 2 samples; 0 where they are too few."""
    table = np.zeros((num_others + 3, num_others + 1))
    means = np.array(coefficients)
    while len(means) <= num_others + 1:
        table[len(means) + 1, : len(means)] = means
        means = _with_one_more(means)
    return table


def _smallest(m: Scalars, B: Scalars, K: Scalars, P: SubsetProbability) -> RankWeights:
    return _weights(P(B - 1 - m, B - 2, K - 1), m, B)


def _middle(m: Scalars, B: Scalars, K: Scalars, P: SubsetProbability) -> RankWeights:
    lower, upper = (P(m - 1, B - 2, K - 1, below) for below in ((K - 1) // 2, K // 2))
    return _weights((lower + upper) / 2, m, B)


def _best_two(m: Scalars, B: Scalars, K: Scalars, P: SubsetProbability) -> RankWeights:
    best, second = (P(m - 1, B - 2, K - 1, below) for below in (K - 1, K - 2))
    return _weights((best + second) / 2, m, B)


@register(
    "min_at_k",
    citation="parmas2026ordergrad",
    equation="rank weights of the smallest of K; minus MaxPO of minus the rewards",
    target="E min of K",
    unbiased=True,
    centered=True,
    k_range=BELOW_GROUP_SIZE,
)
def min_at_k(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""The smallest of K rewards: `order_statistic` for the first of K coefficients.

    .. math:: A_i = - A_i^{\text{MaxPO}}(-R)

    Args:
      rewards: [..., B] rewards of the samples of each group.
      k: K, 1 <= k <= B - 1; a Python int, or a traced integer scalar.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages.

    Raises:
      ValueError: as `maxpo`.

    Example:
      >>> min_at_k(jnp.array([0.0, 6.0, 9.0]), k=2).tolist()
      [-6.0, 3.0, 3.0]

    Source: Parmas et al., 2026, arXiv:2606.06096, rank weights of the smallest reward.

    Unbiased for grad E[min of K rewards] with independent samples of the current policy,
    1 <= K <= B - 1; centered.
    """
    return weighted_advantages(_smallest, rewards, k, where)


@register(
    "median_at_k",
    citation="parmas2026ordergrad",
    equation="rank weights of the median of K",
    target="E median of K",
    unbiased=True,
    centered=True,
    k_range=BELOW_GROUP_SIZE,
)
def median_at_k(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""The median of K rewards: `order_statistic` for the coefficient, or two, in the middle.

    .. math:: A_i = u_i - v_i, \quad
       u_i = \operatorname*{mean}_{|S|=K-1} \operatorname{median}(R_i, S), \quad
       v_i = \operatorname*{mean}_{|S|=K} \operatorname{median} S, \qquad S \subset \text{others}

    Args:
      rewards: [..., B] rewards of the samples of each group.
      k: K, 1 <= k <= B - 1; a Python int, or a traced integer scalar.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages.

    Raises:
      ValueError: as `maxpo`.

    Example:
      >>> median_at_k(jnp.array([0.0, 0.0, 9.0, 18.0]), k=3).tolist()
      [-6.0, -6.0, 6.0, 6.0]

    Source: Parmas et al., 2026, arXiv:2606.06096, rank weights of the median.

    Unbiased for grad E[median of K rewards] with independent samples of the current policy,
    1 <= K <= B - 1; centered.
    """
    return weighted_advantages(_middle, rewards, k, where)


@register(
    "top_two_at_k",
    citation="parmas2026ordergrad",
    equation="rank weights 1/2 of the best two of K",
    target="E mean of the best 2 of K",
    unbiased=True,
    centered=True,
    k_range=FROM_TWO_BELOW_GROUP_SIZE,
)
def top_two_at_k(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""The mean of the best two of K rewards: `order_statistic` for half of each of the last two.

    .. math:: A_i = u_i - v_i, \quad
       u_i = \operatorname*{mean}_{|S|=K-1} \operatorname{top}_2(R_i, S), \quad
       v_i = \operatorname*{mean}_{|S|=K} \operatorname{top}_2 S, \qquad S \subset \text{others}

    with top_2 the mean of the largest two.

    Args:
      rewards: [..., B] rewards of the samples of each group.
      k: K, 2 <= k <= B - 1; a Python int, or a traced integer scalar.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages.

    Raises:
      ValueError: as `maxpo`; k = 1.

    Example:
      >>> top_two_at_k(jnp.array([0.0, 0.0, 9.0, 18.0]), k=3).tolist()
      [-4.5, -4.5, 1.5, 7.5]

    Source: Parmas et al., 2026, arXiv:2606.06096, rank weights of the mean of the top 2.

    Unbiased for grad E[mean of the best two of K rewards] with independent samples of the current
    policy, 2 <= K <= B - 1; centered.
    """
    return weighted_advantages(_best_two, rewards, k, where)
