"""How learning scales with the depth and the bias of the maze, per estimator and K.

    python -m experiments.reproduce --only=maze_scaling

Expected: updates grow with depth and with the share of turns. Where turns are many, RLOO and GRPO
stop before the deepest mazes and MaxPO at small K does not; where they are few, K = 8 is the
slowest, since the best of 8 is the goal long before one episode is. About two minutes on two cores;
seconds in mode "smoke".
"""

from typing import Any

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the figure; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.run = ConfigDict()
    config.run.path = "random"
    config.run.dead_end_length = 0
    config.run.policy = "tabular"
    config.run.initial_logit = 3.8918  # probability 0.98 of action 1: the policy has settled on it
    config.run.group_size = 16
    config.run.learning_rate = 0.3
    config.run.num_updates = 1500
    config.run.variance_groups = 2

    estimators: tuple[str, ...] = ("maxpo", "ei", "pkpo_sloo", "zscore_maxpo")
    ks: tuple[int, ...] = (2, 4, 8)
    first_moment: tuple[str, ...] = ("rloo", "grpo")  # estimators of J_1 run at K = 1 alone
    common: dict[str, Any] = {
        "depth": (5, 10, 20, 40, 60),
        "bias": (0.5, 0.7, 0.9),
        "seed": "0:8",  # each with a maze of its own
    }
    if mode == "smoke":
        estimators, ks, first_moment = ("maxpo",), (2,), ("rloo",)
        common |= {"depth": (3, 5), "bias": (0.5,)}
        config.run.num_updates = 300
    config.grid = ConfigDict()
    config.grid.first_moment = ConfigDict({"estimator": first_moment, "k": (1,), **common})
    config.grid.by_k = ConfigDict({"estimator": estimators, "k": ks, **common})
    return config
