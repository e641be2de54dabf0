"""pass@k on many prompts, from impossible to easy, after training with each estimator.

    python -m experiments.pass_at_k

Expected (full mode): with one table for each prompt nothing is lost, all reach the same pass@256,
and RLOO and GRPO the larger pass@1. With a shared low-rank policy, MaxPO, PKPO and Pass@k Training
make more prompts solvable within 256 tries than they make unsolvable; for RLOO and GRPO it is the
other way round. About 1 minute on two cores; smoke mode 10 seconds.
"""

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the experiment; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.seed = 0
    config.policies = ("table", "shared")  # a table for each prompt; one low-rank policy for all
    config.rank = 16
    config.num_prompts = 96
    config.num_answers = 32
    config.hardest = 1e-4  # success probability of the base policy
    config.easiest = 0.5
    config.group_size = 16
    config.k = 8
    config.estimators = (
        "maxpo",
        "pkpo_sloo_minus_one",
        "rloo",
        "grpo",
        "pass_at_k_training_analytic",
    )
    config.table_learning_rates = (0.1, 0.3, 1.0, 3.0, 10.0)
    config.shared_learning_rates = (0.01, 0.03, 0.1, 0.3, 1.0)
    config.num_updates = 200
    config.num_tuning_seeds = 4  # these choose the learning rate
    config.num_seeds = 12  # these are shown
    if mode == "smoke":
        config.policies = ("shared",)
        config.num_prompts = 24
        config.num_answers = 8
        config.rank = 4
        config.estimators = ("maxpo", "grpo")
        config.shared_learning_rates = (0.1, 0.3)
        config.num_updates = 30
        config.num_tuning_seeds = 2
        config.num_seeds = 6
    return config
