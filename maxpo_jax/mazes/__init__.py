"""Biased mazes: one path to the goal, policies over two actions, and their exact truth."""

from maxpo_jax.lazy import on_first_use

__all__ = [
    "builders",
    "exact",
    "gradients",
    "gymnax_env",
    "maze",
    "policy",
    "rollout",
]

__getattr__, __dir__ = on_first_use(__name__, __all__)
