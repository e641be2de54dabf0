"""Does a lower variance of the gradient learn faster? Where theory says it is lowest for MaxPO.

    python -m experiments.reproduce --only=variance_learning

Many answers, half of them right, success probabilities of 0.3 to 0.9, K = 2: there the variance of
EI is about twice that of MaxPO. Measured (full mode): with Adam, which divides by the noise, MaxPO
needs a fifth fewer updates on a policy that prompts share; elsewhere it needs a fifth to a half
more. The noise of EI sits on right answers alone, and what makes their logits unequal makes them
likelier together. A minute on two cores; smoke mode 10 seconds.
"""

from typing import Any

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the figure; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.run = ConfigDict()
    config.run.num_prompts = 16
    config.run.num_answers = 128
    config.run.num_right = 64
    config.run.rank = 8
    config.run.hardest = 0.3
    config.run.easiest = 0.9
    config.run.group_size = 16
    config.run.k = 2
    config.run.num_updates = 400
    config.run.updates_per_record = 2
    config.threshold = 0.95  # the pass@K whose update is compared

    axes: dict[str, Any] = {
        "policy": ("shared", "table"),
        "estimator": ("maxpo", "ei"),
        "seed": "0:24",
    }
    rates: dict[str, tuple[float, ...]] = {"sgd": (1.0, 2.0, 4.0), "adam": (0.02, 0.04, 0.08)}
    if mode == "smoke":
        config.run.num_prompts = 4
        config.run.num_answers = 16
        config.run.num_right = 8
        config.run.num_updates = 60
        config.threshold = 0.8
        axes |= {"policy": ("shared",), "seed": "0:8"}
        rates = {"sgd": (4.0,), "adam": (0.08,)}
    config.grid = ConfigDict()
    for optimizer, of_optimizer in rates.items():
        config.grid[optimizer] = ConfigDict(
            {"optimizer": (optimizer,), "learning_rate": of_optimizer, **axes}
        )
    return config
