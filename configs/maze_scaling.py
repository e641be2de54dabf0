"""How learning scales with the depth and the bias of the maze, per estimator and K.

    python -m experiments.maze_scaling

Expected: updates grow with depth and with the share of turns. Where turns are many, RLOO and GRPO
stop before the deepest mazes and MaxPO at small K does not; where they are few, K = 8 is the
slowest, since the best of 8 is the goal long before one episode is. About two minutes on two cores;
seconds in mode "smoke".
"""

from ml_collections import ConfigDict


def get_config(mode: str = "full") -> ConfigDict:
    """Configuration of the experiment; `mode` is "full" or "smoke"."""
    config = ConfigDict()
    config.depths = (5, 10, 20, 40, 60)
    config.padded_depths = (20, 60)  # mazes padded to the same depth share one program
    config.biases = (0.5, 0.7, 0.9)
    config.dead_end_length = 0
    config.policy = "tabular"
    config.initial_prob = 0.98  # of action 1 in every state: the policy has settled on it
    config.estimators = ("rloo", "grpo", "maxpo", "ei", "pkpo_sloo", "zscore_maxpo")
    config.ks = (2, 4, 8)  # estimators of J_1 run at K = 1 alone
    config.group_size = 16
    config.learning_rate = 0.3
    config.num_updates = 1500
    config.num_seeds = 5  # each with a maze of its own
    if mode == "smoke":
        config.depths = (3, 5)
        config.padded_depths = (5,)
        config.biases = (0.5,)
        config.estimators = ("rloo", "maxpo")
        config.ks = (2,)
        config.num_updates = 100
        config.num_seeds = 3
    return config
