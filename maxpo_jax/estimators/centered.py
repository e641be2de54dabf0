"""Signals less their own mean: what centering leaves alone, and what it breaks."""

from typing import Any

import jax

from maxpo_jax.estimators.contract import BELOW_GROUP_SIZE, FROM_TWO, register
from maxpo_jax.estimators.max_at_k import expected_improvement, max_with_sample
from maxpo_jax.kernel.rank_weights import Scalars, SubsetProbability
from maxpo_jax.kernel.spacings import RankWeights, weighted_advantages


def centered_max_with_sample(
    m: Scalars, B: Scalars, K: Scalars, P: SubsetProbability
) -> RankWeights:
    """Weights of u_i - mean u, which is (B-K)/B times MaxPO."""
    return max_with_sample(m, B, K, P).centered(m, B)


def centered_expected_improvement(
    m: Scalars, B: Scalars, K: Scalars, P: SubsetProbability
) -> RankWeights:
    """Weights of EI_i - mean EI."""
    return expected_improvement(m, B, K, P).centered(m, B)


@register(
    "center_u",
    citation="walder2025pkpo",
    equation="s less its mean; derived here",
    unbiased=True,
    centered=True,
    k_range=BELOW_GROUP_SIZE,
    scale=lambda group_size, k: 1 - k / group_size,
)
def center_u(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""The best of K with the sample, less its mean over the group: MaxPO up to a constant.

    .. math:: A_i = u_i - \bar u = \frac{B-K}{B} A_i^{\text{MaxPO}}

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
      >>> advantages = center_u(jnp.array([0.0, 0.0, 9.0, 18.0]), k=2)
      >>> [round(a, 3) for a in advantages.tolist()]
      [-3.0, -3.0, 0.0, 6.0]

    Source: derived here from Walder and Karkhanis, 2025, arXiv:2505.15201.

    Unbiased for (1 - K/B) grad J_K with independent samples of the current policy, 1 <= K <= B - 1;
    at K = B it would be 0 for every group.
    """
    return weighted_advantages(centered_max_with_sample, rewards, k, where)


@register(
    "center_ei",
    citation="tajwar2026maxrl",
    equation="leave-one-out or mean baseline put on expected improvement",
    target="(1-K/B) J_K + (K/B) J_(K-1)",
    unbiased=True,
    centered=True,
    k_range=FROM_TWO,
)
def center_ei(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""Expected improvement less its mean over the group, which changes the objective.

    .. math:: A_i = EI_i - \overline{EI}

    Taking off the mean of a signal a takes (K/B) grad E[mean a] off the expected gradient, and
    the mean of EI estimates J_K - J_(K-1).

    Args:
      rewards: [..., B] rewards of the samples of each group.
      k: K of max@K, 2 <= k <= B; a Python int, or a traced integer scalar.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages.

    Raises:
      ValueError: as `maxpo_jax.maxpo`.

    Example:
      >>> import jax.numpy as jnp
      >>> advantages = center_ei(jnp.array([0.0, 0.0, 9.0, 18.0]), k=2)
      >>> [round(a, 3) for a in advantages.tolist()]
      [-5.25, -5.25, 0.75, 9.75]

    Source: the code of MaxRL (Tajwar et al., 2026, arXiv:2602.02710) puts RLOO on the binary
    expected improvement under the name PKPO, which is B/(B-1) times this; its expectation is
    derived here.

    Biased for grad J_K: unbiased for (1 - K/B) grad J_K + (K/B) grad J_(K-1), with independent
    samples of the current policy, 2 <= K <= B.
    """
    return weighted_advantages(centered_expected_improvement, rewards, k, where)
