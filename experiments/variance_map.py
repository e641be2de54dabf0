"""Exact variance ratio of EI and MaxPO on Bernoulli bandits, by enumeration of success counts."""

import functools
from collections.abc import Callable

import jax
import numpy as np
import xarray as xr
from ml_collections import ConfigDict
from scipy import stats

from experiments import experiment
from experiments.drawings import variance_map as drawing
from maxpo_jax import estimators

NAMES = ("maxpo", "ei")


def total_variance(
    name: str, group_size: int, k: int, success_probs: np.ndarray, arms_per_outcome: int
) -> np.ndarray:
    r"""Trace of Cov(g) on a Bernoulli bandit of equally likely good and equally likely bad arms.

    A group with c successes has two advantages only, A_+ and A_-, and a fellow success (failure)
    shares the arm with chance 1/m where m arms are good (bad). With s = c A_+ + (B - c) A_-,

    .. math:: \mathbb{E}[\|g\|^2 | c] = \frac{K^2}{B^2} \Bigl(
       c A_+^2 (1 + \tfrac{c-1}{m}) + (B-c) A_-^2 (1 + \tfrac{B-c-1}{m})
       - 2 s (c A_+ \tfrac{p}{m} + (B-c) A_- \tfrac{1-p}{m}) + s^2 \|\pi\|^2 \Bigr),

    which is averaged over the binomial c, and from which ||grad J_K||^2 is taken off.

    Args:
      name: an unbiased estimator for grad J_K.
      group_size: B.
      k: K.
      success_probs: [P] chances p that the policy pulls a good arm.
      arms_per_outcome: m.

    Returns:
      [P] variances in float64.
    """
    B, m, p = group_size, arms_per_outcome, success_probs[:, None]
    successes = np.arange(B + 1)
    with jax.enable_x64(True):
        groups = (np.arange(B) < successes[:, None]).astype(np.float64)
        advantages = np.asarray(estimators.get(name)(groups, k))
    of_success = np.where(successes > 0, advantages[:, 0], 0.0)
    of_failure = np.where(successes < B, advantages[:, -1], 0.0)
    gained, lost = successes * of_success, (B - successes) * of_failure
    total, policy_norm = gained + lost, (p**2 + (1 - p) ** 2) / m
    same_arm = gained * of_success * (1 + (successes - 1) / m)
    same_arm = same_arm + lost * of_failure * (1 + (B - successes - 1) / m)
    cross = (gained * p + lost * (1 - p)) / m
    squares = (k / B) ** 2 * (same_arm - 2 * total * cross + total**2 * policy_norm)
    expected_square = (stats.binom.pmf(successes, B, p) * squares).sum(axis=1)
    p = success_probs
    gradient_square = (k * (1 - p) ** (k - 1)) ** 2 * 2 * (p * (1 - p)) ** 2 / m
    return expected_square - gradient_square


def _of_arms(config: ConfigDict, arms_per_outcome: int) -> xr.Dataset:
    probs = np.array(config.success_probs)
    values = [
        [total_variance(name, config.group_size, k, probs, arms_per_outcome) for k in config.ks]
        for name in NAMES
    ]
    return xr.Dataset({"variance": (("estimator", "k", "success_prob"), np.array(values))})


def parts(config: ConfigDict) -> dict[str, Callable[[], xr.Dataset]]:
    """One part per number of arms."""
    for k in config.ks:
        if not 2 <= k < config.group_size:
            raise ValueError(f"ks holds {k}; allowed are 2..{config.group_size - 1}")
    if not all(0 < p < 1 for p in config.success_probs):
        raise ValueError("success_probs must lie strictly between 0 and 1")
    return {f"arms={m}": functools.partial(_of_arms, config, m) for m in config.arms_per_outcome}


def combine(config: ConfigDict, pieces: dict[str, xr.Dataset]) -> xr.Dataset:
    """Variances with named axes."""
    dataset = xr.concat(list(pieces.values()), dim="num_actions").assign_coords(
        num_actions=[2 * m for m in config.arms_per_outcome],
        estimator=list(NAMES),
        k=list(config.ks),
        success_prob=list(config.success_probs),
    )
    name = "exact trace of the covariance of the gradient estimate"
    dataset.variance.attrs.update(long_name=name, units="1")
    return dataset


EXPERIMENT = experiment.Experiment(
    name="variance_map",
    parts=parts,
    combine=combine,
    draw=drawing.draw,
    claims=drawing.claims,
    caption=drawing.caption,
)

if __name__ == "__main__":
    experiment.main(EXPERIMENT)
