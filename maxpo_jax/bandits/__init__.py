"""Bandits: arms, softmax policies, gradients of a group, and their exact truth."""

from maxpo_jax.lazy import on_first_use

__all__ = [
    "bandit",
    "bernoulli",
    "contextual",
    "exact",
    "gradients",
    "multisets",
    "optimum",
    "orthogonal",
    "policy",
    "variance_floor",
]

__getattr__, __dir__ = on_first_use(__name__, __all__)
