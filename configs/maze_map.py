"""The biased maze drawn: states, actions, dead ends, the one correct path, the return everywhere.

    python -m experiments.reproduce --only=maze_map

Expected: one path of ten steps to the goal; always taking action 1 ends at the first turn, with a
return of 3 without dead ends and of 6 with dead ends of 3 steps. Seconds, in both modes.
"""

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the figure; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.path = "1110111011"
    config.dead_end_lengths = (0, 3)
    if mode == "smoke":
        config.path = "11011"
        config.dead_end_lengths = (1,)
    return config
