"""Max@K from samples of an older policy, with importance ratios, exact in polynomial time.

A subset of K samples carries the product of the K ratios of its members. Sums over all subsets are
elementary symmetric polynomials, and the sum over the subsets of one sample is that sample's ratio
times a partial derivative: so one scan over the sorted group and its reverse-mode derivative give
all advantages at once, in O(B K), where the source of the estimator calls the exact form
exponentially hard.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from maxpo_jax.estimators import checks
from maxpo_jax.estimators.checks import KRange
from maxpo_jax.estimators.contract import BELOW_GROUP_SIZE, UP_TO_GROUP_SIZE
from maxpo_jax.estimators.group_sharding import on_own_groups


def off_policy_max_at_k(rewards: ArrayLike, ratios: ArrayLike, k: int) -> jax.Array:
    r"""The importance-weighted best of K with the sample: `pkpo_s` for samples of an older policy.

    .. math:: A_i = \binom{B-1}{K-1}^{-1} \sum_{I \ni i, |I| = K}
       \prod_{j \in I} w_j \max_{j \in I} R_j

    with the ratios w_j = pi(x_j) / pi_old(x_j).

    Args:
      rewards: [..., B] rewards of the samples of each group.
      ratios: [..., B] non-negative ratios of probabilities.
      k: K of max@K, 1 <= k <= B; a Python int.

    Returns:
      [..., B] advantages in the dtype of the rewards (half precision as float32), without gradient
        in the rewards and the ratios.

    Raises:
      ValueError: k out of range, rewards and ratios of different shapes, or, outside jit, values
        that are not finite or negative ratios.

    Example:
      >>> import jax.numpy as jnp
      >>> rewards, ratios = jnp.array([0.0, 1.0, 3.0]), jnp.array([2.0, 1.0, 3.0])
      >>> off_policy_max_at_k(rewards, ratios, k=2).tolist()
      [10.0, 5.5, 13.5]

    Source: Bagirov et al., 2025, "The Best of N Worlds: Aligning Reinforcement Learning with
    Best-of-N Sampling via max@k Optimization", arXiv:2510.23393, exact off-policy form times B/K;
    the algorithm is derived here.

    Unbiased for grad J_K of the current policy, g = (K/B) sum_i A_i grad log pi(x_i), with
    independent samples of the older policy, 1 <= K <= B; not centered.
    """
    name = "off_policy_max_at_k"
    rewards, ratios = _check(name, rewards, ratios, k, UP_TO_GROUP_SIZE)
    return on_own_groups(name, _with_sample, rewards, ratios, k)


def off_policy_max_at_k_leave_one_out(rewards: ArrayLike, ratios: ArrayLike, k: int) -> jax.Array:
    r"""`off_policy_max_at_k` less the importance-weighted best of K that leaves the sample out.

    .. math:: A_i = u_i^{w} - w_i v_i^{w}, \qquad
       v_i^{w} = \binom{B-1}{K}^{-1} \sum_{I \not\ni i, |I| = K}
       \prod_{j \in I} w_j \max_{j \in I} R_j

    with u^w the advantages of `off_policy_max_at_k`. For ratios of 1 it is `maxpo`.

    Args:
      rewards: [..., B] rewards of the samples of each group.
      ratios: [..., B] non-negative ratios of probabilities.
      k: K of max@K, 1 <= k <= B - 1; a Python int.

    Returns:
      [..., B] advantages in the dtype of the rewards (half precision as float32), without gradient
        in the rewards and the ratios.

    Raises:
      ValueError: k out of range, rewards and ratios of different shapes, or, outside jit, values
        that are not finite or negative ratios.

    Example:
      >>> import jax.numpy as jnp
      >>> rewards = jnp.array([0.0, 0.0, 9.0, 18.0])
      >>> advantages = off_policy_max_at_k_leave_one_out(rewards, jnp.ones(4), k=2)
      >>> [round(a, 3) for a in advantages.tolist()]
      [-6.0, -6.0, 0.0, 12.0]

    Source: derived here from Bagirov et al., 2025, arXiv:2510.23393.

    Unbiased for grad J_K of the current policy with independent samples of the older policy,
    1 <= K <= B - 1; centered only for ratios of 1.
    """
    name = "off_policy_max_at_k_leave_one_out"
    rewards, ratios = _check(name, rewards, ratios, k, BELOW_GROUP_SIZE)
    return on_own_groups(name, _leave_one_out, rewards, ratios, k)


def _with_sample(rewards: jax.Array, ratios: jax.Array, k: int) -> jax.Array:
    return ratios * _slopes(rewards, ratios, k)[1]


def _leave_one_out(rewards: jax.Array, ratios: jax.Array, k: int) -> jax.Array:
    group_size = rewards.shape[-1]
    mean, slopes = _slopes(rewards, ratios, k)
    with_sample = ratios * slopes
    # The subsets with i are K/B of all; what they leave of the mean over all is the others'.
    without_sample = (group_size * mean[..., None] - k * with_sample) / (group_size - k)
    return with_sample - ratios * without_sample


def off_policy_max_at_k_first_order(rewards: ArrayLike, ratios: ArrayLike, k: int) -> jax.Array:
    r"""`off_policy_max_at_k` to first order in the ratios around 1.

    .. math:: A_i = \binom{B-1}{K-1}^{-1} \sum_{I \ni i, |I| = K}
       \Big(1 + \sum_{j \in I} (w_j - 1)\Big) \max_{j \in I} R_j

    Args:
      rewards: [..., B] rewards of the samples of each group.
      ratios: [..., B] non-negative ratios of probabilities.
      k: K of max@K, 1 <= k <= B; a Python int.

    Returns:
      [..., B] advantages in the dtype of the rewards (half precision as float32), without gradient
        in the rewards and the ratios.

    Raises:
      ValueError: k out of range, rewards and ratios of different shapes, or, outside jit, values
        that are not finite or negative ratios.

    Example:
      >>> import jax.numpy as jnp
      >>> rewards, ratios = jnp.array([0.0, 1.0, 3.0]), jnp.array([1.0, 1.0, 1.5])
      >>> off_policy_max_at_k_first_order(rewards, ratios, k=2).tolist()
      [2.75, 2.75, 4.5]

    Source: Bagirov et al., 2025, arXiv:2510.23393, the first-order weights w' times B/K; without
    the clamping of its code.

    Biased for grad J_K of the current policy, of second order in the distance of the policies;
    not centered.
    """
    name = "off_policy_max_at_k_first_order"
    rewards, ratios = _check(name, rewards, ratios, k, UP_TO_GROUP_SIZE)
    return on_own_groups(name, _first_order, rewards, ratios, k)


def _first_order(rewards: jax.Array, ratios: jax.Array, k: int) -> jax.Array:
    ones = jnp.ones_like(ratios)
    value, change = jax.jvp(lambda w: _with_sample(rewards, w, k), (ones,), (ratios - ones,))
    return value + change


def _check(
    name: str, rewards: ArrayLike, ratios: ArrayLike, k: int, k_range: KRange
) -> tuple[jax.Array, jax.Array]:
    rewards = checks.rewards_array(name, rewards)
    ratios = checks.rewards_array(name, ratios)
    if ratios.shape != rewards.shape:
        raise ValueError(
            f"{name}: ratios must have the shape of the rewards {rewards.shape}, one for each "
            f"sample, got {ratios.shape}."
        )
    if checks.is_traced(k):
        raise ValueError(f"{name}: k must be a Python int here; mark it as static under jax.jit.")
    checks.check_k(name, checks.integer_k(name, k), k_range, rewards.shape[-1])
    checks.check_values(name, rewards, None, k, k_range)
    if not checks.is_traced(ratios):
        wrong = np.argwhere(~(np.isfinite(ratios) & (np.asarray(ratios) >= 0)))
        if len(wrong):
            raise ValueError(
                f"{name}: ratios must be finite and not negative, which they are not at index "
                f"{wrong[0].tolist()}; they are exp(log pi - log pi_old), not its logarithm."
            )
    dtype = rewards.dtype if jnp.finfo(rewards.dtype).bits >= 32 else jnp.float32
    rewards, ratios = (jax.lax.stop_gradient(x).astype(dtype) for x in (rewards, ratios))
    return rewards, ratios


def _slopes(rewards: jax.Array, ratios: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """Mean of w(I) max(I) over all K-subsets [...], and B/K times its derivatives in w [..., B]."""
    groups = (math.prod(rewards.shape[:-1]), rewards.shape[-1])
    flat = (rewards.reshape(groups), ratios.reshape(groups))
    means, slopes = jax.vmap(jax.value_and_grad(_mean_over_subsets, argnums=1), (0, 0, None))(
        *flat, k
    )
    scale = rewards.shape[-1] / k
    return means.reshape(rewards.shape[:-1]), scale * slopes.reshape(rewards.shape)


def _mean_over_subsets(rewards: jax.Array, ratios: jax.Array, k: int) -> jax.Array:
    """Mean over the K-subsets of the product of ratios times the maximum, of one group [B].

    With the group sorted, the best of a subset is its last member. So the scan carries, for the
    samples seen so far, the mean product of ratios over their subsets of each size below K (an
    elementary symmetric polynomial over its binomial, which keeps it of order one), and the mean
    of product times maximum over their subsets of size K.
    """
    order = jnp.argsort(rewards)
    sizes = jnp.arange(1, k, dtype=rewards.dtype)

    def add_sample(
        carry: tuple[jax.Array, jax.Array], sample: tuple[jax.Array, jax.Array, jax.Array]
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        products, best = carry
        reward, ratio, count = sample
        best = best + (k / count) * (ratio * reward * products[-1] - best)
        share = sizes / count  # of the subsets of the samples so far that hold the new one
        larger = products[1:] + share * (ratio * products[:-1] - products[1:])
        return (jnp.concatenate([products[:1], larger]), best), None

    counts = jnp.arange(1, rewards.shape[0] + 1, dtype=rewards.dtype)
    nothing = jnp.zeros_like(rewards[0])  # varies over devices like the rewards
    none_yet = jnp.broadcast_to(nothing, (k,)).at[0].set(1.0)
    start = (none_yet, nothing)
    (_, best), _ = jax.lax.scan(add_sample, start, (rewards[order], ratios[order], counts))
    return best
