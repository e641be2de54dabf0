"""Final J_k against the K of training and the k of evaluation, one heat map per estimator.

    python -m experiments.k_sensitivity

Expected (full mode): for the estimators of grad J_K J_k is largest after training with K = k; for
RLOO and GRPO the K of training only scales the gradient. About 1 minute on two cores; smoke mode
10 seconds.
"""

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the experiment; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.seed = 0
    config.instance = "ladder"
    config.num_actions = 18
    config.group_size = 32
    config.training_ks = (1, 2, 4, 8, 16, 31)
    config.evaluation_ks = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    config.estimators = ("maxpo", "ei", "pkpo_s", "pkpo_sloo", "rloo", "grpo")

    config.optimizer = "sgd"
    config.learning_rates = (0.03, 0.1, 0.3, 1.0)
    config.num_updates = 500
    config.updates_per_record = 500
    config.num_tuning_seeds = 14  # these choose the learning rate
    config.num_seeds = 50  # these are shown
    if mode == "smoke":
        config.group_size = 8
        config.training_ks = (1, 4, 7)
        config.evaluation_ks = (1, 4, 16, 256)
        config.estimators = ("maxpo", "rloo")
        config.learning_rates = (0.3,)
        config.num_updates = 40
        config.updates_per_record = 40
        config.num_tuning_seeds = 2
        config.num_seeds = 8
    return config
