"""Adam's variance proxy and the true variance, with one right answer of 720 and with 360.

    python -m experiments.reproduce --only=token_adam_variance

Expected (full mode): on sort, which has one right answer, MaxPO's proxy lies above EI's; on
arrange, which has many, below it, and its true variance further below. About 5 minutes on two
cores; smoke mode 20 seconds.
"""

from typing import Any

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the figure; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.run = ConfigDict()
    config.run.width = 64
    config.run.num_layers = 2
    config.run.base_share_right = 0.5
    config.run.base_noise = 0.15  # so that the base policy knows many right answers
    config.run.base_num_updates = 3000
    config.run.num_test = 100  # held-out prompts of each family
    config.run.prompts_per_update = 32
    config.run.group_size = 16
    config.run.k = 2
    config.run.learning_rate = 3e-4  # of Adam, which takes the scale out of a gradient
    config.run.num_updates = 100
    config.run.updates_per_record = 20
    config.run.variance_groups = 8  # further groups for the same prompts measure a true variance

    seeds: dict[str, Any] = {"base_seed": (0, 1), "seed": "0:4"}
    if mode == "smoke":
        config.run.width = 32
        config.run.num_layers = 1
        config.run.base_share_right = 1.0
        config.run.base_noise = 0.0
        config.run.base_num_updates = 300
        config.run.num_test = 4
        config.run.prompts_per_update = 4
        config.run.num_updates = 10
        config.run.updates_per_record = 5
        config.run.variance_groups = 2
        seeds = {"base_seed": (0,), "seed": "0:2"}
    config.grid = ConfigDict()
    for task in ("sort", "arrange"):
        axes = {"families": (task,), "estimator": ("maxpo", "ei"), **seeds}
        config.grid[task] = ConfigDict(axes)
    return config
