"""What does a learner become that is trained for the worst, the middle or the best of K tries?

    python -m experiments.reproduce --only=order_statistics

Measured (full mode): each learner is best at its own statistic, or tied. On the ladder, the one for
the worst of 4 takes the sure rung, the one for the best of 4 spreads over rare ones; in the maze,
those for the worst and the middle settle on one action. A minute on two cores; smoke mode 15
seconds.
"""

from typing import Any

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the figure; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.run = ConfigDict()
    config.run.group_size = 16
    config.run.k = 4  # of which min, median, top two and max are taken
    config.run.instance = "ladder"
    config.run.num_actions = 9
    config.run.path = "1110111011"
    config.num_tuning_seeds = 8  # the first seeds choose the learning rate, the others are shown

    estimators: tuple[str, ...] = ("min_at_k", "median_at_k", "rloo", "top_two_at_k", "maxpo")
    ladder: dict[str, Any] = {
        "num_updates": (2000,),
        "updates_per_record": (100,),
        "learning_rate": "log:1e-2:1e1:7",
        "seed": "0:32",
    }
    maze: dict[str, Any] = {
        "num_updates": (2000,),
        "learning_rate": "log:1e-2:1e0:5",
        "seed": "0:32",
    }
    if mode == "smoke":
        estimators = ("min_at_k", "maxpo")
        config.num_tuning_seeds = 2
        ladder |= {
            "num_updates": (100,),
            "updates_per_record": (10,),
            "learning_rate": (0.3,),
            "seed": "0:8",
        }
        maze |= {"num_updates": (100,), "learning_rate": (0.1,), "seed": "0:8"}
    config.grid = ConfigDict()
    config.grid.ladder = ConfigDict({"estimator": estimators, **ladder})
    config.grid.maze = ConfigDict({"estimator": estimators, **maze})
    return config
