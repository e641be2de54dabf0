"""The largest J_K that any policy over the arms of a bandit reaches."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize

from maxpo_jax.bandits import bandit as bandits
from maxpo_jax.bandits import policy
from maxpo_jax.bandits.bandit import Bandit


def largest_value(bandit: Bandit, k: int) -> float:
    r"""Finds the largest J_K of any policy.

    .. math:: \max_{\pi} J_K(\pi)

    J_K is concave in the action probabilities, for a policy that mixes two others does at least as
    well as the mean of both: what gradient ascent on the logits ends at is the maximum. In float64.

    Args:
      bandit: the bandit, without noise; not traced.
      k: K, at least 1.

    Returns:
      The value.

    Raises:
      ValueError: a noisy bandit.

    Example:
      >>> bandit = Bandit(jnp.array([1.0, 3.0]), success_probs=jnp.array([1.0, 0.5]))
      >>> [round(largest_value(bandit, k), 4) for k in (1, 2)]
      [1.5, 2.25]
    """
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), bandit)
        found = optimize.minimize(
            lambda logits: tuple(np.asarray(v) for v in _loss_and_slope(logits, wide, float(k))),
            np.zeros(len(bandit.rewards)),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 5000, "ftol": 1e-14, "gtol": 1e-10},
        )
    return float(-found.fun)


@jax.jit
@jax.value_and_grad
def _loss_and_slope(logits: jax.Array, bandit: Bandit, k: jax.Array) -> jax.Array:
    return -bandits.policy_value(bandit, policy.probabilities(logits), k)
