"""The exact variance of the gradient on a Bernoulli bandit, by enumeration of success counts.

Where many arms are equally good and as many equally bad, a group is known by how many of its
samples succeeded: B + 1 cases in place of all multisets of actions, however many arms there are.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from maxpo_jax.bandits import exact
from maxpo_jax.bandits.exact import Estimator


def total_variance(
    estimator: Estimator,
    group_size: int,
    k: int,
    success_probs: ArrayLike,
    arms_per_outcome: int,
) -> np.ndarray:
    r"""Trace of Cov(g) on a Bernoulli bandit of equally likely good and equally likely bad arms.

    A group with c successes has two advantages only, A_+ and A_-, and a fellow success (failure)
    shares the arm with chance 1/m where m arms are good (bad). With s = c A_+ + (B - c) A_-,

    .. math:: \mathbb{E}[\|g\|^2 | c] = \frac{K^2}{B^2} \Bigl(
       c A_+^2 (1 + \tfrac{c-1}{m}) + (B-c) A_-^2 (1 + \tfrac{B-c-1}{m})
       - 2 s (c A_+ \tfrac{p}{m} + (B-c) A_- \tfrac{1-p}{m}) + s^2 \|\pi\|^2 \Bigr),

    which is averaged over the binomial c. The mean of g is the same at all good arms, and at all
    bad ones; the square of its norm,

    .. math:: \frac{K^2}{m B^2} \Bigl( (\mathbb{E}[c A_+] - p \mathbb{E}[s])^2
       + (\mathbb{E}[(B - c) A_-] - (1 - p) \mathbb{E}[s])^2 \Bigr),

    is taken off. In float64.

    Args:
      estimator: see `exact.moments`; one that gives equal rewards equal advantages.
      group_size: B.
      k: K.
      success_probs: [P] chances p that the policy chooses a good arm.
      arms_per_outcome: m.

    Returns:
      [P] variances.

    Raises:
      ValueError: if equal rewards of a group have different advantages.

    Example:
      >>> raw_reward = lambda rewards, k: rewards
      >>> total_variance(raw_reward, 2, 1, [0.5], 1).tolist()
      [0.0625]
    """
    B, m, p = group_size, arms_per_outcome, np.asarray(success_probs, np.float64)
    successes = np.arange(B + 1)
    of_success, of_failure = exact.advantages_by_successes(estimator, group_size, k)
    chances = stats.binom.pmf(successes, B, p[:, None])
    gained, lost = successes * of_success, (B - successes) * of_failure
    total, policy_norm = gained + lost, (p**2 + (1 - p) ** 2) / m
    same_arm = gained * of_success * (1 + (successes - 1) / m)
    same_arm = same_arm + lost * of_failure * (1 + (B - successes - 1) / m)
    cross = (np.outer(p, gained) + np.outer(1 - p, lost)) / m
    squares = same_arm - 2 * total * cross + np.outer(policy_norm, total**2)
    mean_good = chances @ gained - p * (chances @ total)
    mean_bad = chances @ lost - (1 - p) * (chances @ total)
    mean_square = (mean_good**2 + mean_bad**2) / m
    return (k / B) ** 2 * ((chances * squares).sum(axis=1) - mean_square)
