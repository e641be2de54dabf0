"""Total variance of the gradient estimate against action-space size and against K.

    python -m experiments.reproduce --only=gradient_variance

Measured (full mode): at B = 16, K = 4 the variance of EI is below that of MaxPO for n = 2 and 4 in
every reward family, for n = 8 in one, and nowhere beyond; at K = 13 to 15 it is below for every n.
PKPO's s is the highest but for some sizes of Gaussian and Student t rewards. A few minutes on two
cores; smoke mode half a minute.
"""

from typing import Any

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the figure; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.run = ConfigDict()
    config.run.group_size = 16
    config.run.k = 4  # but where K is an axis
    config.run.logits = "uniform"  # or "gaussian": standard normal
    config.run.noise = 0.0  # standard deviation of the noise on each pull
    config.run.num_draws = 20_000

    common: dict[str, Any] = {
        "reward_family": ("gaussian", "bernoulli", "exponential", "student_t"),
        "estimator": ("maxpo", "canonical", "ei", "pkpo_s", "pkpo_sloo", "reinforce", "rloo"),
        "seed": "0:24",  # each a bandit of its own
    }
    num_actions: tuple[int, ...] = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
    num_actions_of_ks: tuple[int, ...] = (8, 64, 512)
    num_actions_of_exact: tuple[int, ...] = (2, 3, 4, 6)
    ks: tuple[int, ...] = tuple(range(1, 16))
    if mode == "smoke":
        common |= {"reward_family": ("gaussian",), "seed": "0:8"}
        common |= {"estimator": ("maxpo", "canonical", "ei", "pkpo_s")}
        num_actions, ks = (2, 8, 64), (1, 4, 8, 15)
        num_actions_of_ks, num_actions_of_exact = (8,), (2, 3)
        config.run.num_draws = 1000
    config.grid = ConfigDict()
    config.grid.by_size = ConfigDict({"num_actions": num_actions, **common})
    config.grid.by_k = ConfigDict({"num_actions": num_actions_of_ks, "k": ks, **common})
    config.grid.exact = ConfigDict({"num_actions": num_actions_of_exact, **common})
    return config
