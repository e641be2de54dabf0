"""Error of the mean of N gradient estimates against N, with the exact plateau of biased estimators.

    python -m experiments.estimation_error

Expected (full mode): MaxPO, EI and PKPO fall as N^(-1/2); RLOO, GRPO, centered EI, z-scored MaxPO
and Pass@k Training level off at their exact bias. About 2 minutes on two cores; smoke mode
10 seconds.
"""

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the experiment; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.seed = 0
    config.reward_families = ("gaussian", "bernoulli")
    config.num_actions = 6
    config.group_size = 8
    config.k = 4
    config.estimators = (
        "maxpo",
        "ei",
        "pkpo_s",
        "pkpo_sloo",
        "rloo",
        "grpo",
        "center_ei",
        "zscore_maxpo",
        "pass_at_k_training_analytic",
    )
    decades = tuple(10**exponent for exponent in range(1, 6))
    config.num_draws = (*(m * decade for decade in decades for m in (1, 2, 5)), 1_000_000)
    config.num_replicates = 20
    if mode == "smoke":
        config.estimators = ("maxpo", "ei", "grpo", "center_ei")
        config.num_draws = (10, 100, 1000)
        config.num_replicates = 8
    return config
