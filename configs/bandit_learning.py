"""Learning curves on hard bandits, at a learning rate tuned for each estimator by the same grid.

    python -m experiments.bandit_learning

Expected (full mode): on the ladder, the estimators of grad J_K reach a much larger J_K than RLOO
and GRPO, which reach the larger J_1. About 1 minute on two cores; smoke mode 15 seconds.
"""

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the experiment; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.seed = 0
    config.instances = ("needle", "rare_success", "ladder")
    config.num_actions = 64
    config.group_size = 16
    config.k = 8
    config.estimators = (
        "maxpo",
        "ei",
        "pkpo_s",
        "center_ei",
        "rloo",
        "grpo",
        "pass_at_k_training_analytic",
    )
    config.annealed_estimator = "maxpo"  # one more curve, K from k to 1; "" for none

    config.optimizer = "sgd"  # or "adam"
    config.learning_rates = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    config.num_updates = 600
    config.updates_per_record = 20
    config.num_tuning_seeds = 14  # these choose the learning rate
    config.num_seeds = 50  # these are shown
    if mode == "smoke":
        config.instances = ("needle", "ladder")
        config.estimators = ("maxpo", "rloo")
        config.num_actions = 18
        config.learning_rates = (0.3, 1.0)
        config.num_updates = 40
        config.updates_per_record = 10
        config.num_tuning_seeds = 2
        config.num_seeds = 8
    return config
