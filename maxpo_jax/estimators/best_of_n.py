"""Best-of-N advantages, which reward the best samples of a group."""

from typing import Any

import jax

from maxpo_jax.estimators.contract import WHOLE_GROUP, alias, register
from maxpo_jax.estimators.group_statistics import array_namespace, deviations
from maxpo_jax.estimators.zscored import zscore_maxpo


@register(
    "bon_max_mean",
    citation="chow2024inference",
    equation="the best sample less the mean, as Bagirov et al. 2025 describe it",
    unbiased=False,
    centered=False,
    k_range=WHOLE_GROUP,
)
def bon_max_mean(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""BoN-max-mean: the best samples get their distance from the mean reward, the others nothing.

    .. math:: A_i = R_i - \bar R \text{ if } R_i = \max_j R_j, \quad 0 \text{ else}

    Every one of several tied best samples gets it.

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
      >>> bon_max_mean(jnp.array([0.0, 1.0, 5.0]), k=3).tolist()
      [0.0, 0.0, 3.0]

    Source: Chow et al., 2024, "Inference-Aware Fine-Tuning for Best-of-N Sampling in Large Language
    Models", arXiv:2412.15287, as described by Bagirov et al., 2025, arXiv:2510.23393.

    Biased for grad J_B: its baseline sees the sample itself.
    """
    xp = array_namespace(rewards)
    is_best = rewards == xp.max(rewards, axis=-1, keepdims=True)
    return xp.where(is_best, deviations(rewards, where), xp.zeros_like(rewards))


@register(
    "bon_max_second",
    citation="bagirov2025best",
    equation="the best samples less the largest other value",
    unbiased=False,
    centered=False,
    k_range=WHOLE_GROUP,
)
def bon_max_second(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""BoN-max-second: the best samples get their lead over the largest smaller reward.

    .. math:: A_i = R_i - \max \{R_j : R_j < R_i\} \text{ if } R_i = \max_j R_j, \quad
       0 \text{ else}

    Every one of several tied best samples gets it, other than in `tang_leave_one_out`, to which it
    is equal without ties. Its source leaves a group of equal rewards open; here it gets 0.

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
      >>> bon_max_second(jnp.array([0.0, 1.0, 5.0, 5.0]), k=4).tolist()
      [0.0, 0.0, 4.0, 4.0]

    Source: Bagirov et al., 2025, "The Best of N Worlds: Aligning Reinforcement Learning with
    Best-of-N Sampling via max@k Optimization", arXiv:2510.23393.

    Unbiased for grad J_B only where ties have probability 0; biased with ties, which every finite
    reward table has.
    """
    xp = array_namespace(rewards)
    best = xp.max(rewards, axis=-1, keepdims=True)
    is_best = rewards == best
    lowest = xp.min(rewards, axis=-1, keepdims=True)
    second = xp.max(xp.where(is_best, lowest, rewards), axis=-1, keepdims=True)
    return xp.where(is_best, best - second, xp.zeros_like(rewards))


bon_mean = alias(
    "bon_mean",
    of=zscore_maxpo,
    citation="bagirov2025best",
    equation="(s - mean s) / std s with the transformed rewards s of PKPO",
    note=r"""BoN-mean: the best of K with the sample, normalized like a reward in GRPO.

    .. math:: A_i = \frac{u_i - \bar u}{\operatorname{std}(u)}, \qquad
       \operatorname{std}(u)^2 = \frac{1}{B} \sum_j (u_j - \bar u)^2, \qquad
       0 \text{ if all are equal}

    As u - mean u is a multiple of MaxPO, the normalization makes both one. Divisor B, no epsilon.
    """,
    source=(
        'Bagirov et al., 2025, "The Best of N Worlds: Aligning Reinforcement Learning with '
        'Best-of-N Sampling via max@k Optimization", arXiv:2510.23393.'
    ),
)
