"""Exact truth about an estimator: moments of its gradient on a softmax bandit, by enumeration."""

from maxpo_jax.bandits.exact import (
    MAX_GROUPS,
    Moments,
    bias,
    gradient,
    moments,
    order_statistic_gradient,
    variance,
)

__all__ = [
    "MAX_GROUPS",
    "Moments",
    "bias",
    "gradient",
    "moments",
    "order_statistic_gradient",
    "variance",
]
