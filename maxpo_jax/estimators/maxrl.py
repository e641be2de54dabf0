"""MaxRL: maximum likelihood as a sum of all pass@K, and its form for real rewards."""

from typing import Any

import jax

from maxpo_jax.estimators.contract import UP_TO_GROUP_SIZE, register
from maxpo_jax.estimators.group_statistics import (
    array_namespace,
    deviations,
    group_sizes,
    total,
)
from maxpo_jax.kernel.rank_weights import Scalars, SubsetProbability
from maxpo_jax.kernel.spacings import RankWeights, weighted_advantages

HARMONIC_TARGET = "sum of J_t / t over t < B"


def _sum_of_all_maxpo(m: Scalars, B: Scalars, K: Scalars, P: SubsetProbability) -> RankWeights:
    return RankWeights(B / (B - m), floor=0.0 * m).centered(m, B)


@register(
    "maxrl",
    citation="tajwar2026maxrl",
    equation="(r - mean r) / mean r",
    target=HARMONIC_TARGET,
    unbiased=True,
    centered=True,
    k_range=UP_TO_GROUP_SIZE,
    scale=lambda group_size, k: float(k),
    reward_type="binary",
)
def maxrl(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""MaxRL for 0/1 rewards: the reward less its mean, over its mean.

    .. math:: A_i = \frac{R_i - \bar R}{\bar R}, \qquad 0 \text{ without a success}

    It equals the sum of `maxpo` over K = 1..B-1.

    Args:
      rewards: [..., B] rewards of the samples of each group, each 0 or 1.
      k: K, 1 <= k <= B; it does not enter the advantages.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages.

    Raises:
      ValueError: as `maxpo_jax.maxpo`; rewards other than 0 and 1.

    Example:
      >>> import jax.numpy as jnp
      >>> maxrl(jnp.array([0.0, 0.0, 0.0, 1.0]), k=1).tolist()
      [-1.0, -1.0, -1.0, 3.0]

    Source: Tajwar et al., 2026, "Maximum Likelihood Reinforcement Learning", arXiv:2602.02710.

    Unbiased for the gradient of sum_{t=1}^{B-1} pass@t / t (times K in the convention g = (K/B)
    sum_i A_i grad log pi), which tends to log pass@1 with B, with independent samples of the
    current policy; biased for every single grad pass@K.
    """
    successes = array_namespace(rewards).maximum(total(rewards, where), 1)  # without, A is 0 anyway
    return deviations(rewards, where) / (successes / group_sizes(rewards, where))


@register(
    "maxrl_real",
    citation="tajwar2026maxrl",
    equation="the sum of MaxPO over K, for real rewards; derived here",
    target=HARMONIC_TARGET,
    unbiased=True,
    centered=True,
    k_range=UP_TO_GROUP_SIZE,
    scale=lambda group_size, k: float(k),
)
def maxrl_real(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""MaxRL for real rewards: the sum of MaxPO over all K below the group size.

    .. math:: A_{(i)} = \sum_{m < i} w_m d_m - \text{mean}, \qquad w_m = \frac{B}{B-m}

    with the spacings d_m = R_(m+1) - R_(m) of the sorted rewards. On 0/1 rewards it is `maxrl`.

    Args:
      rewards: [..., B] rewards of the samples of each group.
      k: K, 1 <= k <= B; it does not enter the advantages.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages.

    Raises:
      ValueError: as `maxpo_jax.maxpo`.

    Example:
      >>> import jax.numpy as jnp
      >>> maxrl_real(jnp.array([0.0, 0.0, 0.0, 1.0]), k=1).tolist()
      [-1.0, -1.0, -1.0, 3.0]

    Source: derived here from Tajwar et al., 2026, "Maximum Likelihood Reinforcement Learning",
    arXiv:2602.02710.

    Unbiased for the gradient of sum_{t=1}^{B-1} J_t / t (times K in the convention g = (K/B) sum_i
    A_i grad log pi), with independent samples of the current policy; biased for every single J_K.
    """
    return weighted_advantages(_sum_of_all_maxpo, rewards, k, where)
