"""When does the leave-two-out baseline help? Exact variance ratio EI / MaxPO on Bernoulli bandits.

    python -m experiments.reproduce --only=variance_map

Expected: MaxPO has the lower variance at high success probability and many arms, EI at low
success probability, at K close to B and on two arms. Seconds on two cores, in both modes.
"""

from typing import Any

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the figure; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.run = ConfigDict()
    config.run.group_size = 16

    axes: dict[str, Any] = {
        "arms_per_outcome": (1, 2, 32),  # as many arms succeed as fail
        "estimator": ("maxpo", "ei"),
        "k": tuple(range(2, 16)),
        "success_prob": tuple(round(0.01 * i, 2) for i in range(1, 100)),
    }
    if mode == "smoke":
        axes["k"] = (2, 4, 8, 15)
        axes["success_prob"] = tuple(round(0.05 * i, 2) for i in range(1, 20))
    config.grid = ConfigDict()
    config.grid.map = ConfigDict(axes)
    config.grid.limit = ConfigDict({n: axes[n] for n in ("estimator", "k", "success_prob")})
    return config
