"""Tang et al.: the maximum of a whole group, K = B, with three baselines."""

from typing import Any

import jax

from maxpo_jax.estimators.contract import WHOLE_GROUP, alias, register
from maxpo_jax.estimators.max_at_k import ei
from maxpo_jax.kernel.rank_weights import Scalars, SubsetProbability
from maxpo_jax.kernel.spacings import RankWeights, weighted_advantages


def _mean_of_leave_one_out(m: Scalars, B: Scalars, K: Scalars, P: SubsetProbability) -> RankWeights:
    best_gap = P(m, B - 1, B - 1) / B  # only the spacing below the best: one sample in B misses it
    return RankWeights(rise=0.0 * m, floor=best_gap)


def _mean_reward(m: Scalars, B: Scalars, K: Scalars, P: SubsetProbability) -> RankWeights:
    return RankWeights(rise=0.0 * m, floor=m / B)


tang_leave_one_out = alias(
    "tang_leave_one_out",
    of=ei,
    citation="tang2025optimizing",
    equation="leave-one-out baseline f(y) - f(y without i), f the maximum",
    k_range=WHOLE_GROUP,
    shift_invariant=True,
    note=r"""The maximum of the group less the maximum of the others.

    .. math:: A_i = \max_j R_j - \max_{j \ne i} R_j

    Only a sample that is best alone gets anything.
    """,
    source=(
        'Tang, Zheng, Synnaeve and Munos, 2025, "Optimizing Language Models for Inference Time '
        'Objectives using Reinforcement Learning", arXiv:2503.19595.'
    ),
)


@register(
    "tang_mean_of_leave_one_out",
    citation="tang2025optimizing",
    equation="baseline mean_j f(y without j), f the maximum; reconstructed",
    target="J_K - J_(K-1)",
    unbiased=True,
    centered=False,
    k_range=WHOLE_GROUP,
)
def tang_mean_of_leave_one_out(
    rewards: jax.Array, k: Any, *, where: jax.Array | None = None
) -> jax.Array:
    r"""The maximum of the group less the mean maximum of all but one, the same for every sample.

    .. math:: A_i = \max_j R_j - \frac{1}{B} \sum_l \max_{j \ne l} R_j
       = \frac{R_{(B)} - R_{(B-1)}}{B}

    The baseline sees the sample itself, which changes the objective.

    Args:
      rewards: [..., B] rewards of the samples of each group.
      k: the group size B.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages.

    Raises:
      ValueError: as `maxpo_jax.maxpo`; k other than B.

    Example:
      >>> import jax.numpy as jnp
      >>> tang_mean_of_leave_one_out(jnp.array([0.0, 1.0, 4.0]), k=3).tolist()
      [1.0, 1.0, 1.0]

    Source: a variant of Tang et al., 2025, arXiv:2503.19595, reconstructed.

    Unbiased for grad (J_B - J_(B-1)) with independent samples of the current policy, so biased for
    grad J_B, and often nearly opposite to it.
    """
    return weighted_advantages(_mean_of_leave_one_out, rewards, k, where)


@register(
    "tang_mean_reward",
    citation="tang2025optimizing",
    equation="baseline mean reward; reconstructed",
    target="J_K - J_1",
    unbiased=True,
    centered=False,
    k_range=WHOLE_GROUP,
)
def tang_mean_reward(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""The maximum of the group less the mean reward of the group, the same for every sample.

    .. math:: A_i = \max_j R_j - \bar R

    The baseline sees the sample itself, which changes the objective.

    Args:
      rewards: [..., B] rewards of the samples of each group.
      k: the group size B.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages.

    Raises:
      ValueError: as `maxpo_jax.maxpo`; k other than B.

    Example:
      >>> import jax.numpy as jnp
      >>> advantages = tang_mean_reward(jnp.array([0.0, 1.0, 5.0]), k=3)
      >>> [round(a, 3) for a in advantages.tolist()]
      [3.0, 3.0, 3.0]

    Source: a variant of Tang et al., 2025, arXiv:2503.19595, reconstructed.

    Unbiased for grad (J_B - J_1) with independent samples of the current policy, so biased for grad
    J_B, and possibly opposite to it.
    """
    return weighted_advantages(_mean_reward, rewards, k, where)
