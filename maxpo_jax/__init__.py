"""Policy gradients for max@K and pass@K in JAX: advantages, exact truth, worlds."""

import importlib
from types import ModuleType

from maxpo_jax import bandits, coefficients, estimators, exact, mazes, objectives
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
    "coefficients",
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
]

# Imported on first use, because they need more than JAX and NumPy, or are seldom needed.
_ON_FIRST_USE = ("report_card", "training")


def __getattr__(name: str) -> ModuleType:
    """The submodule of this name, imported on first use."""
    if name in _ON_FIRST_USE:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What completion offers: the names here, and the submodules that are not imported yet."""
    return sorted({*globals(), *_ON_FIRST_USE})
