"""PKPO: the best of K with the sample, plain and with its leave-one-out baseline."""

from typing import Any

import jax

from maxpo_jax.estimators.contract import (
    BELOW_GROUP_SIZE,
    FROM_TWO,
    UP_TO_GROUP_SIZE,
    alias,
    register,
)
from maxpo_jax.estimators.max_at_k import (
    ei,
    max_with_sample,
    max_without_sample,
)
from maxpo_jax.kernel.rank_weights import Scalars, SubsetProbability
from maxpo_jax.kernel.spacings import RankWeights, weighted_advantages


def _leave_one_out(m: Scalars, B: Scalars, K: Scalars, P: SubsetProbability) -> RankWeights:
    return max_with_sample(m, B, K, P).minus(max_without_sample(m, B, K, P), scale=B / (B - 1))


@register(
    "pkpo_s",
    citation="walder2025pkpo",
    equation="s, rescaled by B/K",
    unbiased=True,
    centered=False,
    shift_invariant=False,
    k_range=UP_TO_GROUP_SIZE,
)
def pkpo_s(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""PKPO's transformed reward without baseline: the mean best of K that includes the sample.

    .. math:: A_i = u_i = \binom{B-1}{K-1}^{-1} \sum_{S \not\ni i, |S|=K-1} \max(R_i, \max S)

    Args:
      rewards: [..., B] rewards of the samples of each group.
      k: K of max@K, 1 <= k <= B; a Python int, or a traced integer scalar.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages.

    Raises:
      ValueError: as `maxpo_jax.maxpo`.

    Example:
      >>> import jax.numpy as jnp
      >>> pkpo_s(jnp.array([0.0, 3.0, 9.0]), k=2).tolist()
      [6.0, 6.0, 9.0]

    Source: Walder and Karkhanis, 2025, "Pass@K Policy Optimization", arXiv:2505.15201, s times
    B/K.

    Unbiased for grad J_K with independent samples of the current policy, 1 <= K <= B; not centered,
    and a constant added to all rewards is added to the advantages.
    """
    return weighted_advantages(max_with_sample, rewards, k, where)


@register(
    "pkpo_sloo",
    citation="walder2025pkpo",
    equation="s^(loo), rescaled by B/K",
    unbiased=True,
    centered=False,
    shift_invariant=False,
    k_range=BELOW_GROUP_SIZE,
)
def pkpo_sloo(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""PKPO's leave-one-out advantage; its baseline is too large by the factor B/(B-1).

    .. math:: A_i = u_i - \frac{B}{B-1} v_i

    with u the mean best of K that includes sample i and v the mean best of K that leaves it out.

    Args:
      rewards: [..., B] rewards of the samples of each group.
      k: K of max@K, 1 <= k <= B - 1; a Python int, or a traced integer scalar.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages.

    Raises:
      ValueError: as `maxpo_jax.maxpo`.

    Example:
      >>> import jax.numpy as jnp
      >>> pkpo_sloo(jnp.array([0.0, 3.0, 9.0]), k=2).tolist()
      [-7.5, -7.5, 4.5]

    Source: Walder and Karkhanis, 2025, "Pass@K Policy Optimization", arXiv:2505.15201, s^(loo)
    times B/K.

    Unbiased for grad J_K with independent samples of the current policy, 1 <= K <= B - 1; neither
    centered nor invariant: a constant c added to all rewards adds -c/(B-1).
    """
    return weighted_advantages(_leave_one_out, rewards, k, where)


pkpo_sloo_minus_one = alias(
    "pkpo_sloo_minus_one",
    of=ei,
    citation="walder2025pkpo",
    equation="s^(loo-1), rescaled by B/K",
    k_range=FROM_TWO,
    shift_invariant=True,
    note=r"""PKPO's recommended advantage: the best of K with it, less the best of K - 1 others.

    .. math:: A_i = u_i - v_i^{(K-1)}

    with u the mean best of K that includes sample i and v^(K-1) the mean best of K - 1 that leaves
    it out. It is also the leave-one-out advantage that Bagirov et al., 2025, arXiv:2510.23393, call
    BoN LOO-1. Its source divides by K - 1, so K = 1 is left out.
    """,
    source=(
        'Walder and Karkhanis, 2025, "Pass@K Policy Optimization", arXiv:2505.15201, s^(loo-1) '
        "times B/K."
    ),
)


pkpo_binary = alias(
    "pkpo_binary",
    of=pkpo_s,
    citation="walder2025pkpo",
    equation="r, the transformed binary reward, rescaled by B/K",
    reward_type="binary",
    note=r"""PKPO for 0/1 rewards: the chance that K samples, this one among them, hold a success.

    .. math:: A_i = 1 \text{ if } R_i = 1, \quad
       1 - \binom{B-1-c}{K-1} \Big/ \binom{B-1}{K-1} \text{ else}, \qquad c = \sum_j R_j
    """,
    source=(
        'Walder and Karkhanis, 2025, "Pass@K Policy Optimization", arXiv:2505.15201, r times B/K.'
    ),
)
