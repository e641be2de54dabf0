"""Error of the mean of N gradient estimates against N, with the exact plateau of biased estimators.

    python -m experiments.reproduce --only=estimation_error

Expected (full mode): MaxPO, EI and PKPO fall as N^(-1/2); RLOO, GRPO, centered EI, z-scored MaxPO
and Pass@k Training level off at their exact bias. About 2 minutes on two cores; smoke mode
10 seconds.
"""

from typing import Any

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the figure; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.run = ConfigDict()
    config.run.num_actions = 6
    config.run.logits = "gaussian"
    config.run.group_size = 8
    config.run.k = 4
    config.run.num_draws = 1_000_000
    config.run.bandit_seed = 0

    common: dict[str, Any] = {
        "reward_family": ("gaussian", "bernoulli"),
        "estimator": (
            "maxpo",
            "ei",
            "pkpo_s",
            "pkpo_sloo",
            "rloo",
            "grpo",
            "center_ei",
            "zscore_maxpo",
            "pass_at_k_training_analytic",
        ),
    }
    seed = "0:48"  # independent sequences of draws
    if mode == "smoke":
        common = {"reward_family": ("gaussian",), "estimator": ("maxpo", "grpo", "center_ei")}
        config.run.num_draws = 1000
        seed = "0:8"
    config.grid = ConfigDict()
    config.grid.sampled = ConfigDict({**common, "seed": seed})
    config.grid.exact = ConfigDict({**common, "seed": (0,)})  # the bandit of bandit_seed
    return config
