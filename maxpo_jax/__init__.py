"""Policy gradients for max@K and pass@K in JAX: advantages, exact truth, environments."""

from maxpo_jax import environments, estimators, exact, objectives, policies
from maxpo_jax.estimators import (
    canonical,
    ei,
    expected_max_at_k,
    maxpo,
    pkpo_s,
    pkpo_sloo,
    reinforce,
    rloo,
)

__all__ = [
    "canonical",
    "ei",
    "environments",
    "estimators",
    "exact",
    "expected_max_at_k",
    "maxpo",
    "objectives",
    "pkpo_s",
    "pkpo_sloo",
    "policies",
    "reinforce",
    "rloo",
]
