"""The policy with the largest J_K in a maze, and what it gives, all exact."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import FrozenConfigDict
from scipy import stats

from experiments.engine.measurement import Measurement, Output
from experiments.measurements import _common, maze_training
from maxpo_jax.mazes import builders, exact


def compute(run: FrozenConfigDict, seeds: np.ndarray) -> Mapping[str, np.ndarray]:
    """Exact outputs [1]."""
    maze = builders.from_path(run.path, run.dead_end_length)
    if run.policy != "stateless":  # whoever can tell states apart walks to the goal
        value = exact.tabular_optimum(maze)
        share = run.path.count("1") / len(run.path)
        values = [value, share, value, value, 0.0]
    else:
        best = exact.stateless_optimum(maze, run.k)
        num_steps = int(maze.max_steps)
        with jax.enable_x64(True):
            probs = jnp.full(maze.terminal.shape[0], best.prob, jnp.float64)
            returns = [
                float(exact.max_at_k(maze, probs, size, num_steps)) for size in (1, run.group_size)
            ]
        entropy = float(stats.entropy([best.prob, 1 - best.prob]))
        values = [best.value, best.prob, *returns, entropy]
    return {name: np.array([value]) for name, value in zip(OUTPUTS, values, strict=True)}


def refuse(run: FrozenConfigDict) -> str:
    """Why a run makes no sense."""
    if run.path == maze_training.RANDOM:
        return "path is 'random', which has no optimum of its own; write the path out"
    return _common.first(
        maze_training.refuse_maze(run), _common.refuse_below(run, 1, "group_size", "k")
    )


OUTPUTS = {
    "value": Output("exact largest $J_K$ of the policy class"),
    "prob": Output(
        "probability of action 1 of the policy with the largest $J_K$; of one that tells states "
        "apart, the mean on the path",
        larger_is_better=None,
    ),
    "mean_return": Output("exact $J_1$ of the policy with the largest $J_K$"),
    "best_return": Output("exact expected best return of a group at the largest $J_K$"),
    "entropy": Output("entropy of the policy with the largest $J_K$", "nat", (), None),
}

MEASUREMENT = Measurement(
    fields={
        "path": "1110111011",
        "dead_end_length": 0,
        "policy": "stateless",
        "group_size": 16,
        "k": 4,
    },
    outputs=OUTPUTS,
    compute=compute,
    refuse=refuse,
    smoke={},
)
