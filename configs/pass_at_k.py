"""pass@k on many prompts, from impossible to easy, after training with each estimator.

    python -m experiments.reproduce --only=pass_at_k

Expected (full mode): with one table for each prompt nothing is lost, all reach the same pass@256,
and RLOO and GRPO the larger pass@1. With a shared low-rank policy, MaxPO, PKPO and Pass@k Training
make more prompts solvable within 256 tries than they make unsolvable; for RLOO and GRPO it is the
other way round. About 1 minute on two cores; smoke mode 10 seconds.
"""

from typing import Any

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the figure; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.run = ConfigDict()
    config.run.prompts_seed = 0
    config.run.rank = 16  # of the policy that the prompts share
    config.run.num_prompts = 96
    config.run.num_answers = 32
    config.run.hardest = 1e-4  # success probability of the base policy
    config.run.easiest = 0.5
    config.run.group_size = 16
    config.run.k = 8
    config.run.num_updates = 200
    config.num_tuning_seeds = 4  # the first seeds choose the learning rate, the others are shown

    estimators: tuple[str, ...] = (
        "maxpo",
        "pkpo_sloo_minus_one",
        "rloo",
        "grpo",
        "pass_at_k_training_analytic",
    )
    rates: dict[str, Any] = {"table": "log:1e-1:1e2:7", "shared": "log:1e-2:1e2:9"}
    seed = "0:16"
    if mode == "smoke":
        config.run.num_prompts = 24
        config.run.num_answers = 8
        config.run.rank = 4
        config.run.num_updates = 30
        config.run.updates_per_record = 10
        config.num_tuning_seeds = 2
        estimators, seed = ("maxpo", "grpo"), "0:8"
        rates = {"shared": (0.1, 0.3)}
    config.grid = ConfigDict()
    for policy, of_policy in rates.items():  # a table for each prompt; one low-rank policy for all
        axes = {"policy": (policy,), "estimator": estimators, "learning_rate": of_policy}
        config.grid[policy] = ConfigDict({**axes, "seed": seed})
    return config
