"""RSPO: a response is credited with what it adds as the best of K."""

from typing import Any

import jax

from maxpo_jax.estimators.contract import FROM_TWO, register
from maxpo_jax.estimators.max_at_k import expected_improvement
from maxpo_jax.kernel.spacings import weighted_advantages


@register(
    "rspo",
    citation="zhang2025rspo",
    equation="marginal contribution to the maximum of K; reconstructed from the abstract",
    unbiased=True,
    centered=False,
    k_range=FROM_TWO,
)
def rspo(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""RSPO: the marginal contribution of a sample to the best of K, which is `ei`.

    .. math:: A_i = \binom{B-1}{K-1}^{-1} \sum_{S \not\ni i, |S| = K-1} \max(R_i - \max S, 0)

    For 0/1 rewards with c successes: C(B-c, K-1) / C(B-1, K-1) for a success, 0 for a failure.
    Samples below the best of their subset get nothing ("no hitchhiking").

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
      >>> advantages = rspo(jnp.array([0.0, 0.0, 1.0, 1.0]), k=2)
      >>> [round(a, 3) for a in advantages.tolist()]
      [0.0, 0.0, 0.667, 0.667]

    Source: Zhang et al., 2025, "RSPO: Risk-Seeking Policy Optimization for Pass@k and Max@k
    Metrics in Large Language Models", arXiv:2508.01174; reconstructed from its abstract.

    Unbiased for grad J_K with independent samples of the current policy, 2 <= K <= B; not centered.
    """
    return weighted_advantages(expected_improvement, rewards, k, where)
