"""Learning curves in the biased maze: RLOO collapses to one action, max@K learners do not.

    python -m experiments.maze_learning

Expected: RLOO ends at a probability of action 1 near 1 and a best return of a group near 3, where
the path first turns; MaxPO at K = 8 ends near the exact optimum 0.808, with a mean return of 2.3
and a best return above 6. About two minutes on two cores; seconds in mode "smoke".
"""

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the experiment; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.path = "1110111011"
    config.dead_end_length = 0
    config.policy = "stateless"  # or "tabular", "shared"
    config.initial_logit = 0.0
    config.estimators = ("rloo", "grpo", "maxpo", "ei", "pkpo_sloo", "zscore_maxpo")
    config.ks = (1, 2, 4, 8)  # estimators of J_1 run at K = 1 alone
    config.group_size = 16
    config.learning_rates = (0.01, 0.05, 0.2)
    config.shown_learning_rate = 0.05
    config.num_updates = 2000
    config.num_seeds = 50
    config.variance_groups = 4
    if mode == "smoke":
        config.estimators = ("rloo", "maxpo", "ei")
        config.ks = (1, 8)
        config.learning_rates = (0.05,)
        config.num_updates = 300
        config.num_seeds = 5
    return config
