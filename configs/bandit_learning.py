"""Learning curves on hard bandits, at a learning rate tuned for each estimator by the same grid.

    python -m experiments.reproduce --only=bandit_learning

Measured (full mode): MaxPO ends with a larger J_K than RLOO and GRPO on the needle (by 0.5) and on
the ladder (by 0.13), where at their best learning rate these two hardly leave the first policy.
Half a minute on two cores; smoke mode 15 seconds.
"""

from typing import Any

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the figure; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.run = ConfigDict()
    config.run.num_actions = 64
    config.run.group_size = 16
    config.run.k = 8
    config.run.optimizer = "sgd"  # or "adam"
    config.run.num_updates = 600
    config.run.updates_per_record = 20
    config.num_tuning_seeds = 16  # the first seeds choose the learning rate, the others are shown

    estimators: tuple[str, ...] = (
        "maxpo",
        "ei",
        "pkpo_s",
        "center_ei",
        "rloo",
        "grpo",
        "pass_at_k_training_analytic",
    )
    common: dict[str, Any] = {
        "instance": ("needle", "rare_success", "ladder"),
        "learning_rate": "log:1e-3:1e2:11",
        "seed": "0:64",
    }
    if mode == "smoke":
        estimators = ("maxpo", "rloo")
        common = {"instance": ("needle", "ladder"), "learning_rate": (0.3, 1.0), "seed": "0:8"}
        config.run.num_actions = 18
        config.run.num_updates = 40
        config.run.updates_per_record = 10
        config.num_tuning_seeds = 2
    config.grid = ConfigDict()
    config.grid.constant = ConfigDict({"estimator": estimators, **common})
    config.grid.annealed = ConfigDict({"estimator": ("maxpo",), "anneal": (True,), **common})
    return config
