"""Policy gradients for max@K and pass@K in JAX: advantages, exact truth, worlds.

`import maxpo_jax` loads nothing else, not even JAX; every name here is imported on first use.
"""

from typing import TYPE_CHECKING

from maxpo_jax.lazy import on_first_use

if TYPE_CHECKING:
    from maxpo_jax import (
        bandits,
        coefficients,
        estimators,
        exact,
        groups,
        kernel,
        mazes,
        objectives,
        report_card,
        tokens,
        training,
    )
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
    from maxpo_jax.groups import grouped

__all__ = [
    "bandits",
    "canonical",
    "coefficients",
    "ei",
    "estimators",
    "exact",
    "expected_max_at_k",
    "grouped",
    "groups",
    "kernel",
    "maxpo",
    "mazes",
    "objectives",
    "pkpo_s",
    "pkpo_sloo",
    "reinforce",
    "report_card",
    "rloo",
    "tokens",
    "training",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = on_first_use(
        __name__,
        __all__,
        members={
            "estimators": (
                "canonical",
                "ei",
                "expected_max_at_k",
                "maxpo",
                "pkpo_s",
                "pkpo_sloo",
                "reinforce",
                "rloo",
            ),
            "groups": ("grouped",),
        },
    )
