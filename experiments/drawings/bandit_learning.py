"""Figure, claims and caption of the learning curves, from their stored data alone."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding
from experiments.common.statistics import bootstrap_interval
from experiments.drawings.learning_curves import (
    INSTANCE_LABELS,
    at_the_edge,
    draw_curve,
    mean_with_interval,
)


def draw(dataset: xr.Dataset) -> Figure:
    """One row per instance: J_K, J_1, entropy and gradient norm against updates."""
    config = stored_config(dataset)
    panels = {
        "max_at_k": f"$J_K$, $K = {config.k}$",
        "max_at_1": "$J_1$",
        "entropy": "entropy (nats)",
        "gradient_norm": r"$\|g\|$",
    }
    figure, axes = style.grid_of_panels(
        dataset.sizes["instance"], len(panels), panel_width=2.1, panel_height=1.65, sharex=True
    )
    for row, name in enumerate(dataset.instance.values):
        for column, (measure, label) in enumerate(panels.items()):
            ax, curves = axes[row, column], dataset[measure].sel(instance=name)
            for learner in dataset.learner.values:
                values = curves.sel(learner=learner)
                if not values.isnull().all():
                    known = values.dropna("update", how="all")
                    draw_curve(ax, known.update.values, known, str(learner), config.k)
            if row == 0:
                style.panel_title(ax, label)
        style.log_axis(axes[row, -1], "y")
        axes[row, 0].set_ylabel(INSTANCE_LABELS[str(name)])
    for ax in axes[-1]:
        ax.set_xlabel("updates")
    style.shared_legend(figure)
    return figure


def claims(dataset: xr.Dataset) -> list[Finding]:
    """What training came to, for J_K and for J_1, whichever way it comes out."""
    learners = [str(learner) for learner in dataset.learner.values]
    final = dataset.isel(update=-1)
    if "maxpo" not in learners:
        return []
    others = (learner for learner in learners if learner != "maxpo" and "+" not in learner)
    found = [_reaches_more(final.max_at_k, "maxpo", other, "J_K") for other in others]
    if "rloo" in learners:
        found.append(_reaches_more(final.max_at_1, "rloo", "maxpo", "J_1"))
    annealed = (learner for learner in learners if "+" in learner)
    return found + [_reaches_more(final.max_at_1, one, "maxpo", "J_1") for one in annealed]


def _reaches_more(final: xr.DataArray, first: str, second: str, target: str) -> Finding:
    """Paired by seed: both learners start from the same random numbers."""
    measured, verdicts = [], []
    for name in final.instance.values:
        values = final.sel(instance=name)
        a, b = (values.sel(learner=one).values.astype(np.float64) for one in (first, second))
        if np.isfinite(a).all() and np.isfinite(b).all():
            measured.append(
                f"{INSTANCE_LABELS[str(name)]}: {a.mean():.4g} against {b.mean():.4g}, difference "
                f"{mean_with_interval(a - b)}"
            )
            verdicts.append(bootstrap_interval(a - b, statistic=np.mean).low > 0)
    return Finding(
        "bandit_learning",
        f"{first} above {second} in {target}",
        f"{_label(first)} reaches a larger {target} than {_label(second)}, on every instance",
        "; ".join(measured),
        bool(verdicts) and all(verdicts),
    )


def _label(learner: str) -> str:
    estimator, *annealed = learner.split("+")
    label = style.plain_label(estimator)
    return f"{label} with K annealed" if annealed else label


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    config = stored_config(dataset)
    optimizer = {"sgd": "plain gradient ascent", "adam": "Adam"}[config.optimizer]
    num_edge = at_the_edge(dataset.learning_rate.values, config.learning_rates)
    grid = ", ".join(f"{rate:g}" for rate in config.learning_rates)
    annealed = (
        f" The dotted curve lowers K from {config.k} to 1 in equal steps during training."
        if config.annealed_estimator
        else ""
    )
    return (
        f"Learning on hard bandits with n = {config.num_actions} arms, B = {config.group_size}, "
        f"K = {config.k}, by {optimizer}. Rows: needle (one arm pays 1, starts 20 times less "
        "likely than each of the others, which pay 0 to 0.5), rare success (one arm succeeds with "
        "chance 0.2, the others with 0.01), ladder (rung j pays 2^(j/2) with chance 2^-j). J_K, "
        "J_1 and entropy are exact, from the policy's parameters. Curves: mean over "
        f"{config.num_seeds} seeds; bands: 95% bootstrap intervals. The learning rate of every "
        f"estimator is chosen by the same grid ({grid}) for the largest J_K after training on "
        f"{config.num_tuning_seeds} other seeds; {num_edge} choices lie on the edge of the "
        f"grid.{annealed}"
    )
