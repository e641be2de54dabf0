"""The pass@1 family, whose target is the mean reward J_1 whatever K."""

from typing import Any

import jax
import jax.numpy as jnp

from maxpo_jax.estimators.registry import UP_TO_GROUP_SIZE, KRange, register

NEEDS_ANOTHER_SAMPLE = KRange(
    smallest=lambda group_size: 1,
    largest=lambda group_size: group_size,
    text="1 <= k <= B with B >= 2",
    advice="A leave-one-out mean needs another sample: draw a larger group, or use 'reinforce'.",
    smallest_group=2,
)


def group_sizes(rewards: jax.Array, where: jax.Array | None) -> jax.Array:
    """Number [..., 1] of valid samples of each group, at least 1, in the dtype of the rewards."""
    if where is None:
        return jnp.full((*rewards.shape[:-1], 1), rewards.shape[-1], rewards.dtype)
    return jnp.maximum(jnp.sum(where, axis=-1, keepdims=True), 1).astype(rewards.dtype)


def deviations(rewards: jax.Array, where: jax.Array | None) -> jax.Array:
    """Rewards [..., B] less the mean of the valid ones; exactly 0 where all are equal.

    The largest reward is taken off first, so that a large offset costs no precision.
    """
    below_best = rewards - jnp.max(rewards, axis=-1, keepdims=True)
    total = jnp.sum(below_best, axis=-1, keepdims=True, where=where)
    return below_best - total / group_sizes(rewards, where)


@register(
    "reinforce",
    citation="williams1992reinforce",
    equation="the reward itself, without baseline",
    target="J_1",
    unbiased=True,
    centred=False,
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
    centred=True,
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
      >>> rloo(jnp.array([0.0, 1.0, 2.0]), k=1).tolist()
      [-1.5, 0.0, 1.5]

    Source: Kool, van Hoof and Welling, 2019, "Buy 4 REINFORCE Samples, Get a Baseline for Free!";
    Ahmadian et al., 2024, arXiv:2402.14740.

    Unbiased for grad J_1 (for K grad J_1 in the convention g = (K/B) sum_i A_i grad log pi) with
    independent samples of the current policy; biased for grad J_K, K > 1.
    """
    size = group_sizes(rewards, where)
    return size / (size - 1) * deviations(rewards, where)
