"""Policy gradients for max@K and pass@K in JAX: advantages, exact truth, worlds."""

from maxpo_jax import bandits, estimators, exact, mazes, objectives, training
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
    "bandits",
    "canonical",
    "ei",
    "estimators",
    "exact",
    "expected_max_at_k",
    "maxpo",
    "mazes",
    "objectives",
    "pkpo_s",
    "pkpo_sloo",
    "reinforce",
    "rloo",
    "training",
]
