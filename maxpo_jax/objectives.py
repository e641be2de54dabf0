"""Exact objectives of a finite reward distribution: max@K, pass@K and any order statistic."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from maxpo_jax.estimators import checks


def max_at_k(rewards: ArrayLike, probs: ArrayLike, k: Any) -> jax.Array:
    r"""Expected maximum of K independent rewards from a finite distribution.

    .. math:: J_K = \mathbb{E} \max(R_1, \dots, R_K)
       = r_{(1)} + \sum_{m=1}^{n-1} (r_{(m+1)} - r_{(m)}) \, \bigl(1 - (1 - t_m)^K\bigr)

    where t_m is the probability of a reward ranked above m. Ties need no care: their spacing is 0.
    Tails are added up from the top, so that one rare large reward keeps its precision.

    Args:
      rewards: [n] finite rewards of the outcomes, any order, ties allowed.
      probs: [n] their probabilities.
      k: K > 0, integer or real, a Python number or a traced scalar.

    Returns:
      [] J_K, differentiable in `probs` and `rewards` (and in a real traced `k`).

    Raises:
      ValueError: shapes that differ, or a known k that is not positive.

    Example:
      >>> max_at_k(jnp.array([0.0, 1.0]), jnp.array([0.75, 0.25]), k=2).tolist()
      0.4375

    Source: the distribution function of a maximum; for real K, ReMax, 2026, arXiv:2606.00151.

    Exact for independent samples; no estimate is involved.
    """
    ranked, tails = _ranked_with_tails("max_at_k", rewards, probs)
    return ranked[0] + jnp.sum(jnp.diff(ranked) * pass_at_k(tails, k))


def order_statistic(rewards: ArrayLike, probs: ArrayLike, coefficients: Any) -> jax.Array:
    r"""Expected weighted sum of K sorted independent rewards from a finite distribution.

    .. math:: J_c = \mathbb{E} \sum_{m=1}^K c_m R_{(m:K)}
       = r_{(1)} \sum_{m=1}^K c_m + \sum_{m=1}^{n-1} (r_{(m+1)} - r_{(m)}) \,
       \mathbb{E} \sum_{j > K - T_m} c_j, \qquad T_m \sim \text{Binomial}(K, t_m)

    where t_m is the probability of a reward ranked above m: of the K rewards, T_m lie there, and
    they are the last T_m in order. That expectation is a Bernstein polynomial in t_m, computed by
    means of means alone (de Casteljau), so that no binomial is formed.

    Args:
      rewards: [n] finite rewards of the outcomes, any order, ties allowed.
      probs: [n] their probabilities.
      coefficients: [K] c, for the smallest of K rewards first; finite, of either sign. Static. See
        `maxpo_jax.coefficients`.

    Returns:
      [] J_c, differentiable in `probs` and `rewards`.

    Raises:
      ValueError: shapes that differ, or coefficients that are empty, not finite, not
        one-dimensional, or traced.

    Example:
      >>> from maxpo_jax import coefficients
      >>> rewards, probs = jnp.array([0.0, 1.0]), jnp.array([0.75, 0.25])
      >>> order_statistic(rewards, probs, coefficients.median_at_k(3)).tolist()
      0.15625

    Source: the distribution functions of order statistics; Parmas et al., 2026, "OrderGrad",
    arXiv:2606.06096, for the objective.

    Exact for independent samples; no estimate is involved.
    """
    name = "order_statistic"
    known = np.array(checks.coefficients_tuple(name, coefficients))
    ranked, tails = _ranked_with_tails(name, rewards, probs)
    of_the_last = np.append(0.0, np.cumsum(known[::-1]))
    counted = _bernstein(jnp.asarray(of_the_last, tails.dtype), tails)
    return ranked[0] * of_the_last[-1] + jnp.sum(jnp.diff(ranked) * counted)


def _ranked_with_tails(
    name: str, rewards: ArrayLike, probs: ArrayLike
) -> tuple[jax.Array, jax.Array]:
    """Rewards [n], ascending, and the probability [n - 1] of those above each but the last."""
    rewards, probs = jnp.asarray(rewards), jnp.asarray(probs)
    if rewards.ndim != 1 or rewards.shape != probs.shape or rewards.size == 0:
        raise ValueError(
            f"{name}: rewards and probs must both have shape [num_actions], got "
            f"{rewards.shape} and {probs.shape}; use jax.vmap for several distributions."
        )
    rewards = rewards.astype(probs.dtype)
    order = jnp.argsort(rewards)
    return rewards[order], jnp.cumsum(probs[order][:0:-1])[::-1]


def _bernstein(values: jax.Array, probs: jax.Array) -> jax.Array:
    """E[values[T]] [n] for T of Binomial(K, p), values [K + 1], for each p of probs [n]."""
    probs = probs[:, None]

    def mix(_: int, means: jax.Array) -> jax.Array:
        return (1 - probs) * means + probs * jnp.roll(means, -1, axis=1)

    means = jnp.broadcast_to(values, (probs.shape[0], values.shape[0]))
    return jax.lax.fori_loop(0, values.shape[0] - 1, mix, means)[:, 0]


def pass_at_k(success_probs: ArrayLike, k: Any) -> jax.Array:
    r"""Probability that at least one of K independent tries succeeds.

    .. math:: 1 - (1 - p)^K

    Args:
      success_probs: p, any shape, probabilities of success of one try.
      k: K > 0, integer or real, a Python number or a traced scalar.

    Returns:
      Probabilities of the shape of `success_probs`, precise for small p, and differentiable in
      p also at p = 1.

    Raises:
      ValueError: a known k that is not positive.

    Example:
      >>> pass_at_k(jnp.array([0.0, 0.5, 1.0]), k=3).tolist()
      [0.0, 0.875, 1.0]

    Source: Chen et al., 2021, arXiv:2107.03374.

    Exact for independent tries; no estimate is involved.
    """
    success_probs = jnp.asarray(success_probs)
    chex.assert_type(success_probs, float)
    if not checks.is_traced(k) and not (jnp.ndim(k) == 0 and k > 0):
        raise ValueError(f"k must be a positive number, got {k!r}.")
    return _one_success(success_probs, jnp.asarray(k).astype(success_probs.dtype))


@jax.custom_jvp
def _one_success(p: jax.Array, k: jax.Array) -> jax.Array:
    failure = jnp.maximum(1 - p, 0)  # sums of probabilities may exceed 1 by a rounding
    log_failure = jnp.log1p(-jnp.where(failure > 0, p, 0))
    return jnp.where(failure > 0, -jnp.expm1(k * log_failure), jnp.ones_like(p))


@_one_success.defjvp
def _one_success_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array]:
    # The derivative of the formula above is 0/0 at p = 1, where the polynomial's is K or 0.
    (p, k), (p_dot, k_dot) = primals, tangents
    failure = jnp.maximum(1 - p, 0)
    slope = k * failure ** (k - 1)
    log_failure = jnp.log(jnp.where(failure > 0, failure, 1))
    return _one_success(p, k), slope * p_dot - failure**k * log_failure * k_dot
