"""Advantages divided by their own standard deviation, which biases them."""

from typing import Any

import jax

from maxpo_jax.estimators.contract import BELOW_GROUP_SIZE, FROM_TWO, register
from maxpo_jax.estimators.group_statistics import standardized
from maxpo_jax.estimators.max_at_k import expected_improvement, improvement_over_two_left_out
from maxpo_jax.kernel.spacings import weighted_advantages


@register(
    "zscore_maxpo",
    citation="takashiro2026maxpo",
    equation="MaxPO over its own standard deviation",
    unbiased=False,
    centered=True,
    scale_equivariant=False,
    k_range=BELOW_GROUP_SIZE,
)
def zscore_maxpo(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""MaxPO over the standard deviation of its group.

    .. math:: A_i = A_i^* / \operatorname{std}(A^*), \qquad
       \operatorname{std}(A^*)^2 = \frac{1}{B} \sum_j (A_j^*)^2, \qquad
       0 \text{ if all rewards are equal}

    Divisor B, no epsilon.

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
      >>> advantages = zscore_maxpo(jnp.array([0.0, 0.0, 9.0, 18.0]), k=2)
      >>> [round(a, 3) for a in advantages.tolist()]
      [-0.816, -0.816, 0.0, 1.633]

    Source: reconstructed; the normalization is that of GRPO, Shao et al., 2024, arXiv:2402.03300.

    Biased for grad J_K: the deviation of the same group weighs each group by its own luck.
    """
    advantages = weighted_advantages(improvement_over_two_left_out, rewards, k, where)
    return standardized(advantages, where, ddof=0, epsilon=0.0)


@register(
    "zscore_ei",
    citation="walder2025pkpo",
    equation="expected improvement, centered and over its own standard deviation",
    unbiased=False,
    centered=True,
    scale_equivariant=False,
    k_range=FROM_TWO,
)
def zscore_ei(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""Expected improvement less its mean, over the standard deviation of its group.

    .. math:: A_i = (EI_i - \overline{EI}) / \operatorname{std}(EI), \qquad
       \operatorname{std}(EI)^2 = \frac{1}{B} \sum_j (EI_j - \overline{EI})^2, \qquad
       0 \text{ if all are equal}

    Divisor B, no epsilon.

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
      >>> advantages = zscore_ei(jnp.array([0.0, 0.0, 6.0, 6.0]), k=2)
      >>> [round(a, 3) for a in advantages.tolist()]
      [-1.0, -1.0, 1.0, 1.0]

    Source: reconstructed; the normalization is that of GRPO, Shao et al., 2024, arXiv:2402.03300.

    Biased for grad J_K twice over: by the centering (see `center_ei`) and by the deviation.
    """
    improvement = weighted_advantages(expected_improvement, rewards, k, where)
    return standardized(improvement, where, ddof=0, epsilon=0.0)
