"""When does the leave-two-out baseline help? Exact variance ratio EI / MaxPO on Bernoulli bandits.

    python -m experiments.variance_map

Expected: MaxPO has the lower variance at high success probability and many arms, EI at low
success probability, at K close to B and on two arms. Seconds on two cores, in both modes.
"""

import numpy as np
from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the experiment; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.group_size = 16
    config.ks = tuple(range(2, 16))
    config.arms_per_outcome = (1, 2, 32)  # as many arms succeed as fail
    config.success_probs = tuple(np.round(np.linspace(0.01, 0.99, 99), 4).tolist())
    if mode == "smoke":
        config.ks = (2, 4, 8, 15)
        config.success_probs = tuple(np.round(np.linspace(0.05, 0.95, 19), 4).tolist())
    return config
