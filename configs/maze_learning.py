"""Learning curves in the biased maze: RLOO collapses to one action, max@K learners do not.

    python -m experiments.reproduce --only=maze_learning

Expected: RLOO ends at a probability of action 1 near 1 and a best return of a group near 3, where
the path first turns; MaxPO at K = 8 ends near the exact optimum 0.808, with a mean return of 2.3
and a best return above 6. About two minutes on two cores; seconds in mode "smoke".
"""

from typing import Any

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the figure; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.run = ConfigDict()
    config.run.path = "1110111011"
    config.run.dead_end_length = 0
    config.run.policy = "stateless"  # or "tabular", "shared"
    config.run.initial_logit = 0.0
    config.run.group_size = 16
    config.run.num_updates = 2000
    config.run.variance_groups = 4
    config.shown_learning_rate = 0.05

    estimators: tuple[str, ...] = ("maxpo", "ei", "pkpo_sloo", "zscore_maxpo")
    ks: tuple[int, ...] = (1, 2, 4, 8)
    first_moment: tuple[str, ...] = ("rloo", "grpo")  # estimators of J_1 run at K = 1 alone
    common: dict[str, Any] = {"learning_rate": (0.01, 0.05, 0.2), "seed": "0:48"}
    if mode == "smoke":
        estimators, ks, first_moment = ("maxpo",), (1, 8), ("rloo",)
        common = {"learning_rate": (0.05,), "seed": "0:8"}
        config.run.num_updates = 300
    config.grid = ConfigDict()
    config.grid.first_moment = ConfigDict({"estimator": first_moment, "k": (1,), **common})
    config.grid.by_k = ConfigDict({"estimator": estimators, "k": ks, **common})
    config.grid.optimum = ConfigDict({"k": ks})
    return config
