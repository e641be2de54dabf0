"""Pass@1 advantages weighed by the estimated slope of pass@K (Mahdavi et al.)."""

from typing import Any

import jax

from maxpo_jax.estimators.contract import register
from maxpo_jax.estimators.group_statistics import array_namespace, group_sizes, total
from maxpo_jax.estimators.pass_at_1 import (
    NEEDS_ANOTHER_SAMPLE,
    less_mean_of_others,
    normalized,
)


def _slope(rewards: jax.Array, k: Any, where: jax.Array | None) -> jax.Array:
    """(1 - estimated success probability)^(K-1) [..., 1]: the slope of pass@K over K."""
    exponent = array_namespace(rewards).asarray(k - 1).astype(rewards.dtype)
    return (total(1 - rewards, where) / group_sizes(rewards, where)) ** exponent


@register(
    "mahdavi_rloo",
    citation="mahdavi2025beyond",
    equation="K (1-p)^(K-1) with p the mean of the group, times RLOO; reconstructed",
    unbiased=False,
    centered=True,
    k_range=NEEDS_ANOTHER_SAMPLE,
    reward_type="binary",
)
def mahdavi_rloo(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""RLOO times the plug-in estimate of the slope of pass@K.

    .. math:: A_i = (1 - \bar R)^{K-1} A_i^{\text{RLOO}}

    The factor K of grad pass@K = K (1-p)^(K-1) grad p is in the convention of the gradient.

    Args:
      rewards: [..., B] rewards of the samples of each group, each 0 or 1.
      k: K of pass@K, 1 <= k <= B; a Python int, or a traced integer scalar.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages.

    Raises:
      ValueError: as `maxpo_jax.maxpo`; rewards other than 0 and 1; a group of one.

    Example:
      >>> import jax.numpy as jnp
      >>> advantages = mahdavi_rloo(jnp.array([0.0, 0.0, 1.0]), k=2)
      >>> [round(a, 3) for a in advantages.tolist()]
      [-0.333, -0.333, 0.667]

    Source: Mahdavi et al., 2025, "Beyond Accuracy: A Policy Gradient Reweighting Approach for
    Pass@K Maximization in LLMs", AI4Math workshop at ICML; reconstructed.

    Biased for grad pass@K, K > 1: the weight sees the sample itself. At K = 2 it is `center_ei`.
    """
    return _slope(rewards, k, where) * less_mean_of_others(rewards, where)


@register(
    "mahdavi_grpo",
    citation="mahdavi2025beyond",
    equation="K (1-p)^(K-1) with p the mean of the group, times GRPO; reconstructed",
    unbiased=False,
    centered=True,
    scale_equivariant=False,
    k_range=NEEDS_ANOTHER_SAMPLE,
    reward_type="binary",
)
def mahdavi_grpo(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""GRPO times the plug-in estimate of the slope of pass@K.

    .. math:: A_i = (1 - \bar R)^{K-1} A_i^{\text{GRPO}}

    The factor K of grad pass@K = K (1-p)^(K-1) grad p is in the convention of the gradient.

    Args:
      rewards: [..., B] rewards of the samples of each group, each 0 or 1.
      k: K of pass@K, 1 <= k <= B; a Python int, or a traced integer scalar.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages.

    Raises:
      ValueError: as `maxpo_jax.maxpo`; rewards other than 0 and 1; a group of one.

    Example:
      >>> import jax.numpy as jnp
      >>> advantages = mahdavi_grpo(jnp.array([0.0, 0.0, 1.0]), k=2)
      >>> [round(a, 3) for a in advantages.tolist()]
      [-0.385, -0.385, 0.77]

    Source: Mahdavi et al., 2025, "Beyond Accuracy: A Policy Gradient Reweighting Approach for
    Pass@K Maximization in LLMs", AI4Math workshop at ICML; reconstructed.

    Biased for grad pass@K: both the weight and the deviation see the sample itself.
    """
    return _slope(rewards, k, where) * normalized(rewards, where)
