"""What figures of training share: tuned learning rates, curves of learners, means in words."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from ml_collections import ConfigDict

from experiments.common import style
from experiments.common.statistics import bootstrap_interval

PLATEAU = 1e-3  # relative: learning rates that come this close to the best are as good
INSTANCE_LABELS = {"needle": "needle", "rare_success": "rare success", "ladder": "ladder"}
INSTANCES = {
    "needle": "one arm pays 1 and starts 20 times less likely than each of the others, which pay 0 "
    "to 0.5",
    "rare_success": "one arm succeeds with chance 0.2, the others with 0.01",
    "ladder": "rung j pays 2^(j/2) with chance 2^-j",
}
OPTIMIZER_LABELS = {"sgd": "plain gradient ascent", "adam": "Adam"}


def tune(dataset: xr.Dataset, objective: xr.DataArray, num_tuning_seeds: int) -> xr.Dataset:
    """The runs at the learning rate that is best on seeds of their own.

    Args:
      dataset: runs with dimensions `learning_rate` and `seed`.
      objective: what each run came to, of the same dimensions.
      num_tuning_seeds: the first seeds choose, by the mean objective; the others are kept.

    Returns:
      The other seeds at the chosen learning rate, which is a variable of its own: the smallest that
      comes within 0.1 % of the best, since on a plateau the best one is a matter of chance. Where
      no run is defined, it is NaN; one that diverged on a tuning seed is not chosen.
    """
    tuning = (
        objective.reset_coords(drop=True)
        .isel(seed=slice(num_tuning_seeds))
        .mean("seed", skipna=False)
    )
    best = tuning.max("learning_rate")
    best = (tuning >= best - PLATEAU * np.abs(best)).argmax("learning_rate")
    kept = dataset.isel(seed=slice(num_tuning_seeds, None)).isel(learning_rate=best)
    kept = kept.reset_coords("learning_rate")
    kept["learning_rate"] = kept.learning_rate.where(tuning.notnull().any("learning_rate"))
    kept.learning_rate.attrs.update(long_name="learning rate, chosen on other seeds", units="1")
    return kept


def first_update(reached: xr.DataArray) -> xr.DataArray:
    """The first update of each run at which something is true; NaN where it never is."""
    updates = reached["update"].where(reached)
    return updates.min("update").astype(np.float32)


def check_tuning(config: ConfigDict) -> None:
    """Refuse a number of tuning seeds that leaves none to choose by, or none to show.

    Raises:
      ValueError: saying what is allowed.
    """
    for name, axes in config.grid.items():
        num_seeds = len(axes.seed) if "seed" in axes else 0
        if num_seeds and not 1 <= config.num_tuning_seeds < num_seeds:
            raise ValueError(
                f"num_tuning_seeds is {config.num_tuning_seeds}; of the {num_seeds} seeds of grid "
                f"{name}, 1 to {num_seeds - 1} can choose the learning rates"
            )


def draw_curve(ax: Axes, x: np.ndarray, values: xr.DataArray, learner: str, k: int) -> Line2D:
    """Mean over seeds with its interval; an annealed learner is dotted in its estimator's color.

    Args:
      ax: the axes.
      x: abscissae.
      values: [seed, points].
      learner: name of an estimator, with "+annealed" behind it where K falls to 1.
      k: K at the beginning.
    """
    estimator, *annealed = learner.split("+")
    look = style.estimator_style(estimator)
    line = {"label": f"{look.label}, $K$: {k} to 1", "linestyle": ":", "marker": "*"}
    line["markersize"] = style.PAPER["lines.markersize"]
    points = values.transpose("seed", ...).values
    interval = bootstrap_interval(points, axis=0, statistic=np.mean)
    return style.curve_with_interval(
        ax,
        x,
        points.mean(axis=0),
        interval.low,
        interval.high,
        estimator,
        **(line if annealed else {}),
    )


def how_tuned(chosen: np.ndarray, grid: tuple[float, ...], num_seeds: int, objective: str) -> str:
    """How the learning rates were chosen, in words, and how many lie at an end of their grid.

    Example:
      >>> how_tuned(np.array([0.1, 1.0]), (0.01, 0.1, 1.0), 16, "J_K")
      'the smallest of a grid from 0.01 to 1, 1 a decade, ...; 1 of 2 lies at an end of the grid'
    """
    chosen = np.asarray(chosen)
    chosen = chosen[np.isfinite(chosen)]
    per_decade = round((len(grid) - 1) / np.log10(max(grid) / min(grid))) if len(grid) > 1 else 1
    at_end = int(np.isclose(chosen[..., None], [min(grid), max(grid)]).any(-1).sum())
    lie = "lies" if at_end == 1 else "lie"
    return (
        f"the smallest of a grid from {min(grid):g} to {max(grid):g}, {per_decade} a decade, that "
        f"comes within {PLATEAU:.1%} of the largest {objective} after training on {num_seeds} "
        f"other seeds; {at_end or 'none'} of {chosen.size} {lie} at an end of the grid"
    )
