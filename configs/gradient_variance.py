"""Total variance of the gradient estimate against action-space size and against K.

    python -m experiments.gradient_variance

Measured (full mode): at B = 16, K = 4 the variance of EI is below that of MaxPO for n = 2 and 4 in
every reward family, for n = 8 in one, and nowhere beyond; at K = 13 to 15 it is below for every n.
PKPO's s is the highest but for some sizes of Gaussian and Student t rewards. A few minutes on two
cores; smoke mode half a minute.
"""

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the experiment; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.seed = 0
    config.group_size = 16
    config.estimators = ("maxpo", "canonical", "ei", "pkpo_s", "pkpo_sloo", "reinforce", "rloo")
    config.reward_families = ("gaussian", "bernoulli", "exponential", "student_t")
    config.logits = "uniform"  # or "gaussian": standard normal
    config.noise = 0.0  # standard deviation of the noise on each pull

    config.k = 4
    config.num_actions = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
    config.exact_num_actions = (2, 4)  # where the variance is enumerated, too

    config.ks = tuple(range(1, 16))
    config.num_actions_of_k_sweep = (8, 64, 512)

    config.num_instances = 20
    config.num_draws = 20_000
    config.block_size = 4000
    if mode == "smoke":
        config.reward_families = ("gaussian", "bernoulli")
        config.num_actions = (2, 8, 64)
        config.exact_num_actions = (2,)
        config.ks = (1, 4, 8, 15)
        config.num_actions_of_k_sweep = (8,)
        config.num_instances = 4
        config.num_draws = 1000
    return config
