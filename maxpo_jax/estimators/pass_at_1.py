"""The pass@1 family, whose target is the mean reward J_1 whatever K."""

from typing import Any

import jax

from maxpo_jax.estimators.contract import UP_TO_GROUP_SIZE, KRange, register
from maxpo_jax.estimators.group_statistics import deviations, group_sizes, standardized

NEEDS_ANOTHER_SAMPLE = KRange(
    smallest=lambda group_size: 1,
    largest=lambda group_size: group_size,
    text="1 <= k <= B with B >= 2",
    advice="A leave-one-out mean needs another sample: draw a larger group, or use 'reinforce'.",
    smallest_group=2,
)


def less_mean_of_others(rewards: jax.Array, where: jax.Array | None) -> jax.Array:
    """Rewards [..., B] less the mean of the other valid ones of their group."""
    size = group_sizes(rewards, where)
    return size / (size - 1) * deviations(rewards, where)


def normalized(rewards: jax.Array, where: jax.Array | None) -> jax.Array:
    """Rewards [..., B] less their mean, over their deviation, with the constants of verl."""
    return standardized(rewards, where, ddof=1, epsilon=1e-6)


@register(
    "reinforce",
    citation="williams1992reinforce",
    equation="the reward itself, without baseline",
    target="J_1",
    unbiased=True,
    centered=False,
    shift_invariant=False,
    k_range=UP_TO_GROUP_SIZE,
    scale=lambda group_size, k: float(k),
)
def reinforce(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""REINFORCE without baseline: the reward itself.

    .. math:: A_i = R_i

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
      >>> reinforce(jnp.array([0.0, 1.0, 3.0, 2.0]), k=1).tolist()
      [0.0, 1.0, 3.0, 2.0]

    Source: Williams, 1992, "Simple statistical gradient-following algorithms for connectionist
    reinforcement learning".

    Unbiased for grad J_1 (for K grad J_1 in the convention g = (K/B) sum_i A_i grad log pi) with
    independent samples of the current policy; biased for grad J_K, K > 1.
    """
    return rewards


@register(
    "rloo",
    citation="kool2019buy",
    equation="leave-one-out baseline; REINFORCE leave-one-out in ahmadian2024back",
    target="J_1",
    unbiased=True,
    centered=True,
    k_range=NEEDS_ANOTHER_SAMPLE,
    scale=lambda group_size, k: float(k),
)
def rloo(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""RLOO: the reward less the mean reward of the other samples.

    .. math:: A_i = R_i - \frac{1}{B-1} \sum_{j \ne i} R_j = \frac{B}{B-1} (R_i - \bar R)

    It is `maxpo` at K = 1.

    Args:
      rewards: [..., B] rewards of the samples of each group, B >= 2.
      k: K, 1 <= k <= B; it does not enter the advantages.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages.

    Raises:
      ValueError: as `maxpo_jax.maxpo`; a group of one.

    Example:
      >>> import jax.numpy as jnp
      >>> rloo(jnp.array([0.0, 1.0, 2.0]), k=1).tolist()
      [-1.5, 0.0, 1.5]

    Source: Kool, van Hoof and Welling, 2019, "Buy 4 REINFORCE Samples, Get a Baseline for Free!";
    Ahmadian et al., 2024, arXiv:2402.14740.

    Unbiased for grad J_1 (for K grad J_1 in the convention g = (K/B) sum_i A_i grad log pi) with
    independent samples of the current policy; biased for grad J_K, K > 1.
    """
    return less_mean_of_others(rewards, where)


@register(
    "dr_grpo",
    citation="liu2025understanding",
    equation="the advantage without division by the standard deviation",
    target="J_1",
    unbiased=True,
    centered=True,
    k_range=NEEDS_ANOTHER_SAMPLE,
    scale=lambda group_size, k: k * (group_size - 1) / group_size,
)
def dr_grpo(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""Dr. GRPO: the reward less the mean reward of the group.

    .. math:: A_i = R_i - \bar R

    It is (B-1)/B times `rloo`. The other change of its source, no division by the length of the
    answer, belongs to the aggregation of the loss and not to the advantage.

    Args:
      rewards: [..., B] rewards of the samples of each group, B >= 2.
      k: K, 1 <= k <= B; it does not enter the advantages.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages.

    Raises:
      ValueError: as `maxpo_jax.maxpo`; a group of one.

    Example:
      >>> import jax.numpy as jnp
      >>> dr_grpo(jnp.array([0.0, 1.0, 2.0]), k=1).tolist()
      [-1.0, 0.0, 1.0]

    Source: Liu et al., 2025, "Understanding R1-Zero-Like Training: A Critical Perspective",
    arXiv:2503.20783.

    Unbiased for (B-1)/B grad J_1 (times K in the convention g = (K/B) sum_i A_i grad log pi) with
    independent samples of the current policy; biased for grad J_K, K > 1.
    """
    return deviations(rewards, where)


@register(
    "grpo",
    citation="shao2024deepseekmath",
    equation="outcome supervision: rewards normalized by the mean and deviation of their group",
    target="J_1",
    unbiased=False,
    centered=True,
    scale_equivariant=False,
    k_range=NEEDS_ANOTHER_SAMPLE,
)
def grpo(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""GRPO: the reward less the mean reward of the group, over the group's standard deviation.

    .. math:: A_i = \frac{R_i - \bar R}{s + 10^{-6}}, \quad
       s^2 = \frac{1}{B-1} \sum_j (R_j - \bar R)^2, \qquad 0 \text{ if all are equal}

    Divisor B - 1 and epsilon 1e-6 are those of the verl library.

    Args:
      rewards: [..., B] rewards of the samples of each group, B >= 2.
      k: K, 1 <= k <= B; it does not enter the advantages.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages.

    Raises:
      ValueError: as `maxpo_jax.maxpo`; a group of one.

    Example:
      >>> import jax.numpy as jnp
      >>> advantages = grpo(jnp.array([0.0, 1.0, 2.0]), k=1)
      >>> [round(a, 3) for a in advantages.tolist()]
      [-1.0, 0.0, 1.0]

    Source: Shao et al., 2024, "DeepSeekMath", arXiv:2402.03300.

    Biased for grad J_1 and for every grad J_K, by more than a constant factor: the deviation of
    the same group weighs each group by its own luck.
    """
    return normalized(rewards, where)
