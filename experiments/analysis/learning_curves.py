"""What figures of training share: tuned learning rates, curves of learners, means in words."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from ml_collections import ConfigDict

from experiments.common import style
from experiments.common.statistics import bootstrap_interval

INSTANCE_LABELS = {"needle": "needle", "rare_success": "rare success", "ladder": "ladder"}


def tune(dataset: xr.Dataset, objective: xr.DataArray, num_tuning_seeds: int) -> xr.Dataset:
    """The runs at the learning rate that is best on seeds of their own.

    Args:
      dataset: runs with dimensions `learning_rate` and `seed`.
      objective: what each run came to, of the same dimensions.
      num_tuning_seeds: the first seeds choose, by the mean objective; the others are kept.

    Returns:
      The other seeds at the chosen learning rate, which is a variable of its own. Where no run is
      defined, it is NaN; one that diverged on a tuning seed is not chosen.
    """
    tuning = (
        objective.reset_coords(drop=True)
        .isel(seed=slice(num_tuning_seeds))
        .mean("seed", skipna=False)
    )
    best = tuning.fillna(-np.inf).argmax("learning_rate")
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
    points = values.transpose("seed", ...).values
    interval = bootstrap_interval(points, axis=0, statistic=np.mean)
    return style.curve_with_interval(
        ax,
        x,
        points.mean(axis=0),
        interval.low,
        interval.high,
        estimator,
        markevery=max(1, len(x) // 6),
        **(line if annealed else {}),
    )


def mean_with_interval(values: np.ndarray) -> str:
    """Mean over replicates with its 95% interval, as text."""
    interval = bootstrap_interval(values, statistic=np.mean)
    return f"{np.mean(values):.3g} [{interval.low:.3g}, {interval.high:.3g}]"


def at_the_edge(chosen: np.ndarray, grid: tuple[float, ...]) -> int:
    """How many tuned learning rates are the smallest or largest of the grid."""
    return int(np.isclose(np.asarray(chosen)[..., None], [min(grid), max(grid)]).any(-1).sum())
