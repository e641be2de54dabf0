"""How good is Adam's sum of v_hat - m_hat^2 as a measure of the gradient's variance?

    python -m experiments.adam_variance

Expected (full mode): the proxy lags behind the true variance, by which it is off by a factor where
the variance changes, and still ranks most pairs of estimators rightly. About 1 minute on two cores;
smoke mode 10 seconds.
"""

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the experiment; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.seed = 0
    config.instance = "ladder"
    config.num_actions = 64
    config.group_size = 16
    config.k = 8
    config.estimators = ("maxpo", "ei", "pkpo_s", "rloo", "grpo")

    config.optimizer = "adam"
    config.learning_rates = (0.003, 0.01, 0.03, 0.1)
    config.num_updates = 2000
    config.updates_per_record = 100
    config.num_tuning_seeds = 14  # these choose the learning rate
    config.num_seeds = 50  # these are shown
    config.num_draws = 400  # of each true variance
    if mode == "smoke":
        config.estimators = ("maxpo", "ei")
        config.num_actions = 18
        config.learning_rates = (0.03, 0.1)
        config.num_updates = 40
        config.updates_per_record = 10
        config.num_tuning_seeds = 2
        config.num_seeds = 8
        config.num_draws = 100
    return config
