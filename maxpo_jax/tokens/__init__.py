"""Small autoregressive policies on tasks with verifiable rewards."""

from maxpo_jax.lazy import on_first_use

__all__ = [
    "exact",
    "families",
    "gradients",
    "loss",
    "policy",
    "pretraining",
    "verifier",
    "vocabulary",
]

__getattr__, __dir__ = on_first_use(__name__, __all__)
