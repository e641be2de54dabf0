"""pass@k of token policies against the K of training, constant and annealed.

    python -m experiments.reproduce --only=token_k_sensitivity

Expected (full mode): a larger K moves the curve from few tries to many; annealing from 15 to 1 ends
between. About 7 minutes on two cores; smoke mode 15 seconds.
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
    config.run.learning_rate = 3e-4  # of Adam, which takes the scale out of a gradient
    config.run.num_updates = 300
    config.run.updates_per_record = 50

    ks: tuple[int, ...] = (2, 4, 8, 15)
    runs: dict[str, Any] = {"estimator": ("maxpo",), "base_seed": (0, 1), "seed": "0:4"}
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
        ks, runs = (2, 15), {"estimator": ("maxpo",), "base_seed": (0,), "seed": "0:2"}
    config.grid = ConfigDict()
    config.grid.constant = ConfigDict({**runs, "k": ks})
    config.grid.annealed = ConfigDict({**runs, "k": (15,), "final_k": (1,)})
    return config
