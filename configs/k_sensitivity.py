"""Final J_k against the K of training and the k of evaluation, one heat map per estimator.

    python -m experiments.reproduce --only=k_sensitivity

Expected (full mode): for the estimators of grad J_K J_k is largest after training with K = k; for
RLOO and GRPO the K of training only scales the gradient. About 1 minute on two cores; smoke mode
10 seconds.
"""

from typing import Any

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the figure; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.run = ConfigDict()
    config.run.instance = "ladder"
    config.run.num_actions = 18
    config.run.group_size = 32
    config.run.optimizer = "sgd"
    config.run.num_updates = 500
    config.run.updates_per_record = 500
    config.num_tuning_seeds = 16  # the first seeds choose the learning rate, the others are shown

    axes: dict[str, Any] = {
        "estimator": ("maxpo", "ei", "pkpo_s", "pkpo_sloo", "rloo", "grpo"),
        "k": (1, 2, 4, 8, 16, 31),
        "learning_rate": "log:1e-4:1e2:13",
        "seed": "0:64",
    }
    if mode == "smoke":
        config.run.group_size = 16  # as in the smoke run of bandit_learning: the same programs
        config.run.num_updates = 40
        config.run.updates_per_record = 10
        config.num_tuning_seeds = 2
        axes = {
            "estimator": ("maxpo", "rloo"),
            "k": (1, 4, 15),
            "learning_rate": (0.3,),
            "seed": "0:8",
        }
    config.grid = ConfigDict()
    config.grid.training = ConfigDict(axes)
    config.grid.optimum = ConfigDict()
    return config
