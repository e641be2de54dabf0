"""How close does each estimator come to the least variance that rewards alone allow?

    python -m experiments.reproduce --only=variance_floor

Measured (full mode): MaxPO is 1.07 to 1.18 times above the floor for continuous rewards and many
actions, EI 1.03 to 2.3 times; for 0/1 rewards EI pays 1/(1-p) and MaxPO at most B/(B-K). Everything
is exact. Half a minute on two cores; smoke mode seconds.
"""

from typing import Any

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the figure; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.run = ConfigDict()
    config.run.group_size = 16
    config.run.num_levels = 2048  # quantiles of a continuous reward

    estimators: tuple[str, ...] = ("maxpo", "ei", "pkpo_sloo", "pkpo_s")
    by_prob: dict[str, Any] = {
        "k": (1, 2, 4, 8, 15),
        "success_prob": tuple(round(0.01 * i, 2) for i in range(1, 100)),
    }
    by_k: dict[str, Any] = {
        "reward_family": ("gaussian", "student_t", "uniform"),
        "k": (1, 2, 4, 6, 8, 10, 12, 14, 15),
    }
    by_size: dict[str, Any] = {
        "arms_per_outcome": (2, 4, 8, 16, 32, 64, 128, 256, 512),  # as many succeed as fail
        "k": (2, 8),
        "success_prob": (0.1, 0.5),
    }
    if mode == "smoke":
        estimators = ("maxpo", "ei")
        config.run.num_levels = 64
        by_prob = {"k": (2, 8), "success_prob": (0.01, 0.05, 0.1, 0.3, 0.5, 0.7, 0.99)}
        by_k = {"reward_family": ("gaussian",), "k": (2, 8, 15)}
        by_size = {"arms_per_outcome": (2, 8), "k": (2,), "success_prob": (0.5,)}
    config.grid = ConfigDict()
    for name, axes in {"by_prob": by_prob, "by_k": by_k, "by_size": by_size}.items():
        config.grid[name] = ConfigDict({"estimator": estimators, **axes})
    return config
