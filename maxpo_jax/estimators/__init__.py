"""Advantage estimators for max@K, pass@K and pass@1, and their registry."""

from maxpo_jax.estimators.max_at_k import canonical, ei, expected_max_at_k, maxpo
from maxpo_jax.estimators.pass_at_1 import reinforce, rloo
from maxpo_jax.estimators.pkpo import pkpo_s, pkpo_sloo
from maxpo_jax.estimators.registry import Estimator, get, names, register, unregister

__all__ = [
    "Estimator",
    "canonical",
    "ei",
    "expected_max_at_k",
    "get",
    "maxpo",
    "names",
    "pkpo_s",
    "pkpo_sloo",
    "register",
    "reinforce",
    "rloo",
    "unregister",
]
