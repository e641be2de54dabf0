"""What the figures of training on bandits share: curves of learners, and words for their tuning."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from experiments.common import style
from experiments.common.statistics import bootstrap_interval

INSTANCE_LABELS = {"needle": "needle", "rare_success": "rare success", "ladder": "ladder"}


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
    return int(np.isin(chosen, [min(grid), max(grid)]).sum())
