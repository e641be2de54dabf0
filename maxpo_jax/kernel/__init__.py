"""The kernel of rank-weighted estimators: weights of sorted rewards, in O(B log B)."""

from maxpo_jax.lazy import on_first_use

__all__ = [
    "rank_weights",
    "sorting",
    "spacings",
]

__getattr__, __dir__ = on_first_use(__name__, __all__)
