"""Speed, memory, compile time and precision of MaxPO, next to sorting and to published algorithms.

    python -m experiments.benchmark_estimators

Expected on two cores: MaxPO takes a few percent of the time of `jnp.argsort` on 100,000 groups of
up to 16, an eighth to a fifth of it from 65 to 1,024, and less than a quarter on longer ones;
float32 errors stay below 5e-7 of the largest advantage up to groups of a million. About three
minutes; smoke mode 20 seconds. Timings differ from run to run; the ratios of a row come from calls
that alternate.
"""

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the experiment; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.seed = 0
    config.num_groups = 100_000
    config.group_sizes = (4, 8, 16, 32, 64, 128, 256)
    config.num_samples = 1_000_000  # of all groups together, where B grows
    config.growing_group_sizes = (65, 96, 128, 192, 256, 512)
    config.growing_group_sizes += (1_024, 4_000, 32_000, 256_000, 1_000_000)
    config.accuracy_group_sizes = (2, 3, 4, 8, 16, 32, 64, 256, 1_000, 10_000, 100_000, 1_000_000)
    config.min_repeats = 3
    config.seconds_per_row = 5.0
    config.num_draws = 100_000
    config.estimators = (
        "maxpo",
        "canonical",
        "ei",
        "pkpo_s",
        "pkpo_sloo",
        "reinforce",
        "rloo",
    )  # those of gradient_variance
    if mode == "smoke":
        config.num_groups = 2_000
        config.group_sizes = (4, 64)
        config.num_samples = 4_000
        config.growing_group_sizes = (256, 4_000)
        config.accuracy_group_sizes = (2, 16, 1_000)
        config.seconds_per_row = 0.1
        config.num_draws = 2_000
    return config
