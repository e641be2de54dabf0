"""Exact truth about an estimator: moments of its gradient on a softmax bandit, by enumeration.

Beside them the least variance that an unbiased estimator could have, there and with an infinity of
actions.
"""

from maxpo_jax.bandits.exact import (
    MAX_GROUPS,
    Moments,
    bias,
    gradient,
    moments,
    order_statistic_gradient,
    variance,
)
from maxpo_jax.bandits.orthogonal import variance_floor_orthogonal, variance_orthogonal
from maxpo_jax.bandits.variance_floor import best_baseline, variance_floor

__all__ = [
    "MAX_GROUPS",
    "Moments",
    "best_baseline",
    "bias",
    "gradient",
    "moments",
    "order_statistic_gradient",
    "variance",
    "variance_floor",
    "variance_floor_orthogonal",
    "variance_orthogonal",
]
