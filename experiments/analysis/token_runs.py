"""What figures of token policies share: exact pass@k, runs as replicates, and how they are told."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from ml_collections import ConfigDict

from experiments.analysis import labels
from experiments.common import style
from experiments.common.statistics import bootstrap_interval

KS = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024])
MANY_TRIES = 256
SOLVABLE = 0.5  # pass@256 from which a prompt counts as solvable
REPLICATE = ("base_seed", "seed")
TITLES = {
    "sort": "sort",
    "arrange": "arrange",
    "pair": "pair",
    "countdown3": "countdown of 3",
    "subset": "subset",
    "countdown4": "countdown of 4",
}
"""Name of a family of tasks -> the title of its panel."""


def pass_at(success_prob: xr.DataArray, ks: np.ndarray) -> xr.DataArray:
    """Exact pass@k [..., k] of success probabilities."""
    tries = xr.DataArray(ks, dims="k", coords={"k": ks})
    return 1 - (1 - success_prob.astype(np.float64)) ** tries


def replicates(values: xr.DataArray) -> np.ndarray:
    """Values [replicates, ...], a replicate for each pair of a base policy and a seed."""
    stacked = values.stack(replicate=REPLICATE, create_index=False)
    return stacked.transpose("replicate", ...).values.astype(np.float64)


def num_replicates(dataset: xr.Dataset) -> str:
    """How many runs there are of each setting, in words.

    Example:
      >>> num_replicates(xr.Dataset(coords={"base_seed": [0, 1], "seed": [0, 1, 2, 3]}))
      '4 seeds from each of 2 base policies'
    """
    seeds, bases = (dataset.sizes[name] for name in ("seed", "base_seed"))
    policies = "base policy" if bases == 1 else "base policies"
    return f"{seeds} seeds from each of {bases} {policies}"


def draw_mean(ax: Axes, x: np.ndarray, values: xr.DataArray, name: str, **line: object) -> Line2D:
    """Mean over replicates of values [base_seed, seed, points], with its interval."""
    points = replicates(values)
    interval = bootstrap_interval(points, axis=0, statistic=np.mean)
    line.setdefault("markevery", max(1, len(x) // 5))
    return style.curve_with_interval(
        ax, x, points.mean(axis=0), interval.low, interval.high, name, **line
    )


def draw_pass_at_k(ax: Axes, values: xr.DataArray) -> None:
    """pass@k [estimator, base_seed, seed, update, k] against k: at the end, and of the base."""
    draw_base(ax, values)
    for name in labels.defined(values):
        draw_mean(ax, values.k.values, values.sel(estimator=name).isel(update=-1), name)
    tries_axis(ax)


def draw_base(ax: Axes, values: xr.DataArray) -> None:
    """pass@k against k of the base policies."""
    start = values.isel(update=0)
    mean = start.mean([dim for dim in start.dims if dim != "k"])
    ax.plot(values.k, mean, color="black", ls=":", lw=1.6, label="base policy")


def tries_axis(ax: Axes) -> None:
    """The number of tries k on the abscissa."""
    style.log_axis(ax, "x", base=2)
    ax.set_xticks([1, 8, 64, 512])


def told_tasks(run: ConfigDict) -> str:
    """How the policies were trained, for captions."""
    return (
        f"Policies of {run.width} channels and {run.num_layers} layers, first taught by "
        f"demonstrations that are right with chance {run.base_share_right:g} before "
        f"{run.base_noise:.0%} of their tokens are replaced ({run.base_num_updates} updates), then "
        f"trained by Adam at {run.learning_rate:g} for {run.num_updates} updates on "
        f"{run.prompts_per_update} prompts each, B = {run.group_size} responses a prompt"
    )


def check_run(config: ConfigDict) -> None:
    """Refuse axes without which there are no replicates.

    Raises:
      ValueError: saying which.
    """
    for name, axes in config.grid.items():
        missing = [axis for axis in REPLICATE if axis not in axes]
        if missing:
            raise ValueError(f"grid {name} needs the axes {' and '.join(REPLICATE)}")
