"""pass@k of token policies against the K of training, constant and annealed.

    python -m experiments.reproduce --only=token_k_sensitivity

Expected (full mode): a larger K moves the curve from few tries to many; annealing from 15 to 1 ends
between. About 7 minutes on two cores; smoke mode 15 seconds.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import token_pass_at_k


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the figure; `mode` is "full" or "smoke"."""
    config = token_pass_at_k.get_config(mode)  # the same tasks, bases and sizes
    del config.run.k
    ks: tuple[int, ...] = (2, 4, 8, 15)
    runs: dict[str, Any] = {"estimator": ("maxpo",), "base_seed": (0, 1), "seed": "0:4"}
    if mode == "smoke":
        ks, runs = (2, 15), {"estimator": ("maxpo",), "base_seed": (0,), "seed": "0:2"}
    config.grid = ConfigDict()
    config.grid.constant = ConfigDict({**runs, "k": ks})
    config.grid.annealed = ConfigDict({**runs, "k": (15,), "final_k": (1,)})
    return config
