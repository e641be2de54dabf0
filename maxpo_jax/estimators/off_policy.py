"""Max@K from samples of an older policy, with importance ratios, exact in polynomial time.

A subset of K samples carries the product of the K ratios of its members. Sums over all subsets are
elementary symmetric polynomials, and the sum over the subsets of one sample is that sample's ratio
times a partial derivative: so one scan over the sorted group and its reverse-mode derivative give
all advantages at once, in O(B K) (O(B^2) for a traced K), where the source of the estimator calls
the exact form exponentially hard.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from maxpo_jax.estimators.contract import BELOW_GROUP_SIZE, UP_TO_GROUP_SIZE, register
from maxpo_jax.estimators.group_statistics import group_sizes, total

WITH_A_SAMPLE_TO_SPARE = dataclasses.replace(
    BELOW_GROUP_SIZE,
    advice=(
        "A baseline needs a sample to spare: draw a larger group, lower k, or use "
        "'off_policy_max_at_k' (unbiased up to k = B)."
    ),
)


@register(
    "off_policy_max_at_k",
    citation="bagirov2025best",
    equation="exact off-policy form, times B/K; the algorithm is derived here",
    unbiased=True,
    centered=False,
    shift_invariant=False,
    k_range=UP_TO_GROUP_SIZE,
    off_policy=True,
)
def off_policy_max_at_k(
    rewards: jax.Array, k: Any, *, ratios: jax.Array, where: jax.Array | None = None
) -> jax.Array:
    r"""The importance-weighted best of K with the sample: `pkpo_s` for samples of an older policy.

    .. math:: A_i = w_i U_i, \qquad U_i = \binom{B-1}{K-1}^{-1} \sum_{S \not\ni i, |S| = K-1}
       \prod_{j \in S} w_j \max_{j \in S \cup i} R_j

    with the ratios w_j = pi(x_j) / pi_old(x_j).

    Args:
      rewards: [..., B] rewards of the samples of each group.
      k: K of max@K, 1 <= k <= B; a Python int, or a traced integer scalar.
      ratios: [..., B] non-negative ratios of probabilities.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages in the dtype of the rewards, without gradient in rewards and ratios.

    Raises:
      ValueError: as `maxpo_jax.maxpo`; no ratios, of another shape, or, outside jit, ratios that
        are negative or not finite.

    Example:
      >>> import jax.numpy as jnp
      >>> rewards, ratios = jnp.array([0.0, 1.0, 3.0]), jnp.array([2.0, 1.0, 3.0])
      >>> off_policy_max_at_k(rewards, k=2, ratios=ratios).tolist()
      [10.0, 5.5, 13.5]

    Source: Bagirov et al., 2025, "The Best of N Worlds: Aligning Reinforcement Learning with
    Best-of-N Sampling via max@k Optimization", arXiv:2510.23393, exact off-policy form times B/K;
    the algorithm is derived here.

    Unbiased for grad J_K of the current policy, g = (K/B) sum_i A_i grad log pi(x_i), with
    independent samples of the older policy, 1 <= K <= B; not centered.
    """
    return _with_and_without(rewards, k, ratios, where).with_sample


@register(
    "off_policy_max_at_k_leave_one_out",
    citation="bagirov2025best",
    equation="exact off-policy form less the leave-one-out baseline; derived here",
    unbiased=True,
    centered=False,
    shift_invariant=False,
    k_range=WITH_A_SAMPLE_TO_SPARE,
    off_policy=True,
)
def off_policy_max_at_k_leave_one_out(
    rewards: jax.Array, k: Any, *, ratios: jax.Array, where: jax.Array | None = None
) -> jax.Array:
    r"""`off_policy_max_at_k` less the importance-weighted best of K that leaves the sample out.

    .. math:: A_i = w_i (U_i - V_i), \qquad V_i = \binom{B-1}{K}^{-1} \sum_{S \not\ni i, |S| = K}
       \prod_{j \in S} w_j \max_{j \in S} R_j

    with U as in `off_policy_max_at_k`. For ratios of 1 it is `maxpo`.

    Args:
      rewards: [..., B] rewards of the samples of each group.
      k: K of max@K, 1 <= k <= B - 1; a Python int, or a traced integer scalar.
      ratios: [..., B] non-negative ratios of probabilities.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages in the dtype of the rewards, without gradient in rewards and ratios.

    Raises:
      ValueError: as `off_policy_max_at_k`.

    Example:
      >>> import jax.numpy as jnp
      >>> rewards = jnp.array([0.0, 0.0, 9.0, 18.0])
      >>> advantages = off_policy_max_at_k_leave_one_out(rewards, k=2, ratios=jnp.ones(4))
      >>> [round(a, 3) for a in advantages.tolist()]
      [-6.0, -6.0, 0.0, 12.0]

    Source: derived here from Bagirov et al., 2025, arXiv:2510.23393.

    Unbiased for grad J_K of the current policy with independent samples of the older policy,
    1 <= K <= B - 1; centered only for ratios of 1.
    """
    both = _with_and_without(rewards, k, ratios, where)
    return both.with_sample - ratios * both.without_sample


@register(
    "off_policy_max_at_k_centered",
    citation="bagirov2025best",
    equation="the leave-one-out form, centered without bias; derived here",
    unbiased=True,
    centered=True,
    shift_invariant=False,
    k_range=WITH_A_SAMPLE_TO_SPARE,
    off_policy=True,
)
def off_policy_max_at_k_centered(
    rewards: jax.Array, k: Any, *, ratios: jax.Array, where: jax.Array | None = None
) -> jax.Array:
    r"""`off_policy_max_at_k_leave_one_out`, centered exactly and without bias.

    .. math:: A_i = w_i (U_i - V_i) + \frac{1}{B-1} \sum_{j \ne i} (w_j - 1) V_j

    with U and V as there. The sum is zero because the means of w U and of V over the group are
    both the mean over all K-subsets. What is added is unbiased for nothing: V_j does not see
    sample j, and the expectation of w_j is 1 whatever the others are, sample i among them, so that
    every term has expectation 0 given x_i. For ratios of 1 it is `maxpo`. Unlike that one it is not
    the only one: ratios whose mean is known allow further terms of expectation 0.

    Args:
      rewards: [..., B] rewards of the samples of each group.
      k: K of max@K, 1 <= k <= B - 1; a Python int, or a traced integer scalar.
      ratios: [..., B] non-negative ratios of probabilities.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages in the dtype of the rewards, without gradient in rewards and ratios.

    Raises:
      ValueError: as `off_policy_max_at_k`.

    Example:
      >>> import jax.numpy as jnp
      >>> rewards, ratios = jnp.array([0.0, 1.0, 3.0]), jnp.array([0.5, 2.0, 0.5])
      >>> off_policy_max_at_k_centered(rewards, k=1, ratios=ratios).round(4).tolist()
      [-0.75, -0.1875, 0.9375]

    Source: derived here from Bagirov et al., 2025, arXiv:2510.23393.

    Unbiased for grad J_K of the current policy with independent samples of an older policy that
    gives every possible sample of the current one a positive probability, 1 <= K <= B - 1.
    """
    both = _with_and_without(rewards, k, ratios, where)
    of_excess = (ratios - 1) * both.without_sample  # ratios of masked samples are 1
    size = group_sizes(rewards, where)
    of_others = (total(of_excess, where) - of_excess) / (size - 1)
    return both.with_sample - ratios * both.without_sample + of_others


@register(
    "off_policy_max_at_k_first_order",
    citation="bagirov2025best",
    equation="first-order weights w', times B/K, without the clamping of its code",
    unbiased=False,
    centered=False,
    shift_invariant=False,
    k_range=UP_TO_GROUP_SIZE,
    off_policy=True,
)
def off_policy_max_at_k_first_order(
    rewards: jax.Array, k: Any, *, ratios: jax.Array, where: jax.Array | None = None
) -> jax.Array:
    r"""`off_policy_max_at_k` to first order in the ratios around 1.

    .. math:: A_i = \binom{B-1}{K-1}^{-1} \sum_{I \ni i, |I| = K}
       \Big(1 + \sum_{j \in I} (w_j - 1)\Big) \max_{j \in I} R_j

    Args:
      rewards: [..., B] rewards of the samples of each group.
      k: K of max@K, 1 <= k <= B; a Python int, or a traced integer scalar.
      ratios: [..., B] non-negative ratios of probabilities.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages in the dtype of the rewards, without gradient in rewards and ratios.

    Raises:
      ValueError: as `off_policy_max_at_k`.

    Example:
      >>> import jax.numpy as jnp
      >>> rewards, ratios = jnp.array([0.0, 1.0, 3.0]), jnp.array([1.0, 1.0, 1.5])
      >>> off_policy_max_at_k_first_order(rewards, k=2, ratios=ratios).tolist()
      [2.75, 2.75, 4.5]

    Source: Bagirov et al., 2025, arXiv:2510.23393, the first-order weights w' times B/K; without
    the clamping of its code.

    Biased for grad J_K of the current policy, of second order in the distance of the policies;
    not centered.
    """

    def with_sample(ratios: jax.Array) -> jax.Array:
        return _with_and_without(rewards, k, ratios, where).with_sample

    ones = jnp.ones_like(ratios)
    value, change = jax.jvp(with_sample, (ones,), (ratios - ones,))
    return value + change


class _BestOfSubsets(NamedTuple):
    """Of each sample [..., B]: w_i U_i, and V_i."""

    with_sample: jax.Array
    without_sample: jax.Array


def _with_and_without(
    rewards: jax.Array, k: Any, ratios: jax.Array, where: jax.Array | None
) -> _BestOfSubsets:
    groups = (math.prod(rewards.shape[:-1]), rewards.shape[-1])
    valid = jnp.ones_like(rewards, bool) if where is None else where
    flat = [array.reshape(groups) for array in (rewards, ratios, valid)]
    slopes_of_group = jax.value_and_grad(_mean_over_subsets, argnums=1)
    means, slopes = jax.vmap(slopes_of_group, (0, 0, 0, None))(*flat, k)
    mean, slopes = means.reshape(*rewards.shape[:-1], 1), slopes.reshape(rewards.shape)
    size, k = group_sizes(rewards, where), jnp.asarray(k).astype(rewards.dtype)
    with_sample = ratios * (size / k * slopes)
    # The subsets with i are K/B of all; what they leave of the mean over all is the others'.
    return _BestOfSubsets(with_sample, (size * mean - k * with_sample) / (size - k))


def _mean_over_subsets(
    rewards: jax.Array, ratios: jax.Array, valid: jax.Array, k: int | jax.Array
) -> jax.Array:
    """Mean over the K-subsets of the product of ratios times the maximum, of one group [B].

    With the group sorted, the best of a subset is its last member. So the scan carries, for the
    samples seen so far, the mean product of ratios over their subsets of each size below K (an
    elementary symmetric polynomial over its binomial, which keeps it of order one), and the mean
    of product times maximum over their subsets of size K.
    """
    num_sizes = k if isinstance(k, int) else len(rewards)
    sizes = jnp.arange(1, num_sizes, dtype=rewards.dtype)
    k_of_dtype = jnp.asarray(k).astype(rewards.dtype)
    order = jnp.argsort(rewards)
    count = jnp.maximum(jnp.cumsum(valid[order].astype(rewards.dtype)), 1)

    def add_sample(
        carry: tuple[jax.Array, jax.Array], sample: tuple[jax.Array, ...]
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        products, best = carry
        reward, ratio, count, is_valid = sample
        share = k_of_dtype / count
        new_best = best + share * (ratio * reward * products[k - 1] - best)
        share_of_size = sizes / count  # of the subsets of the samples so far that hold the new one
        larger = products[1:] + share_of_size * (ratio * products[:-1] - products[1:])
        new_products = jnp.concatenate([products[:1], larger])
        return (
            jnp.where(is_valid, new_products, products),
            jnp.where(is_valid, new_best, best),
        ), None

    samples = (rewards[order], ratios[order], count, valid[order])
    nothing = jnp.zeros_like(rewards[0] + ratios[0])  # varies over the same devices
    none_yet = jnp.broadcast_to(nothing, (num_sizes,)).at[0].set(1.0)
    (_, best), _ = jax.lax.scan(add_sample, (none_yet, nothing), samples)
    return best
