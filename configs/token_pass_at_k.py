"""pass@k of small token policies on tasks with verifiable answers, before and after training.

    python -m experiments.reproduce --only=token_pass_at_k

Expected (full mode): RLOO and GRPO end with the largest pass@1 and below the base policy from some
tens of tries on; max@K training with K = 15 ends above it until some hundred tries, and MaxPO, EI
and Pass@k Training end close together. About 10 minutes on two cores, which token_support shares;
smoke mode 30 seconds.
"""

from typing import Any

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the figure; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.run = ConfigDict()
    config.run.families = "sort+pair+countdown3+subset+countdown4"
    config.run.width = 64
    config.run.num_layers = 2
    config.run.base_share_right = 0.5
    config.run.base_noise = 0.3
    config.run.base_num_updates = 2000
    config.run.num_test = 100  # held-out prompts of each family
    config.run.prompts_per_update = 32
    config.run.group_size = 16
    config.run.k = 15
    config.run.learning_rate = 3e-4  # of Adam, which takes the scale out of a gradient
    config.run.num_updates = 300
    config.run.updates_per_record = 50

    axes: dict[str, Any] = {
        "estimator": (
            "maxpo",
            "ei",
            "pkpo_sloo",
            "rloo",
            "grpo",
            "pass_at_k_training_analytic",
        ),
        "base_seed": (0, 1),
        "seed": "0:4",
    }
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
        config.run.variance_groups = 2  # as in token_adam_variance: the same program
        axes = {"estimator": ("maxpo", "ei", "rloo"), "base_seed": (0,), "seed": "0:2"}
    config.grid = ConfigDict()
    config.grid.training = ConfigDict(axes)
    return config
