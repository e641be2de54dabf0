"""The population advantage: max@K for real K, where the distribution itself is known."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from maxpo_jax.estimators import checks


def population_advantages(rewards: ArrayLike, probs: ArrayLike, k: Any) -> jax.Array:
    r"""Expected improvement of every outcome over K - 1 draws, less its mean, for real K > 0.

    .. math:: A_a = EI(r_a) - \sum_b \pi_b \, EI(r_b), \qquad
       EI(r) = \mathbb{E}\,(r - \max(R_1, \dots, R_{K-1}))_+ = \sum_{m: r_{(m)} < r} d_m F_m^{K-1}

    up to a constant that centering takes away, with spacings d_m = r_(m+1) - r_(m) and F_m the
    probability of the m smallest outcomes. The sum makes sense for every real K > 0.

    Args:
      rewards: [n] finite rewards of the outcomes, any order, ties allowed.
      probs: [n] their probabilities, all positive.
      k: K > 0, integer or real, a Python number or a traced scalar.

    Returns:
      [n] advantages without gradient, in the dtype of `rewards` and `probs`. Their mean under
      `probs` is 0.

    Raises:
      ValueError: shapes that differ, or a known k that is not positive.

    Example:
      >>> import jax.numpy as jnp
      >>> population_advantages(jnp.array([0.0, 1.0]), jnp.array([0.75, 0.25]), k=2).tolist()
      [-0.1875, 0.5625]

    Source: Nishimori et al., 2026, "Emergence of Exploration in Policy Gradient Reinforcement
    Learning via Retrying" (ReMax), arXiv:2606.00151; without the clipping and the normalization of
    its code.

    Exact: K E[A grad log pi] = grad J_K for every policy and every real K > 0. From a finite group
    of samples no estimator is unbiased for a K that is not an integer.
    """
    rewards = checks.rewards_array("population_advantages", rewards)
    probs = jnp.asarray(probs)
    if rewards.ndim != 1 or rewards.shape != probs.shape or rewards.size == 0:
        raise ValueError(
            "population_advantages: rewards and probs must both have shape [num_actions], got "
            f"{rewards.shape} and {probs.shape}; use jax.vmap for several distributions."
        )
    if not checks.is_traced(k) and not (jnp.ndim(k) == 0 and k > 0):
        raise ValueError(f"population_advantages: k must be a positive number, got {k!r}.")
    dtype = rewards.dtype
    rewards, probs = (jax.lax.stop_gradient(x).astype(dtype) for x in (rewards, probs))
    order = jnp.argsort(rewards)
    at_most = jnp.cumsum(probs[order])[:-1]
    increments = jnp.diff(rewards[order]) * at_most ** (jnp.asarray(k).astype(dtype) - 1)
    ranked = jnp.concatenate([jnp.zeros(1, dtype), jnp.cumsum(increments)])
    improvement = jnp.zeros(rewards.shape, dtype).at[order].set(ranked)
    return improvement - jnp.sum(probs * improvement)
