"""Learning curves on hard bandits: exact J_K of the policy while each estimator trains it."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure as Drawing
from ml_collections import ConfigDict

from experiments.analysis import labels
from experiments.analysis.learning_curves import (
    INSTANCE_LABELS,
    at_the_edge,
    check_tuning,
    draw_curve,
    mean_with_interval,
    tune,
)
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding
from experiments.common.statistics import bootstrap_interval
from experiments.engine.figure import Figure

ANNEALED = "+annealed"  # behind the name of the estimator
MEASURES = {
    "max_at_1": "exact J_1 of the policy",
    "max_at_k": "exact J_K of the policy",
    "entropy": "entropy of the policy in nats",
    "gradient_norm": "norm of the gradient estimate, mean since the last record",
    "learning_rate": "learning rate, tuned for J_K after training",
}


def summarize(config: ConfigDict, grids: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Curves [instance, learner, seed, update] at the learning rate tuned for each learner."""
    of_grids = []
    for name, suffix in (("constant", ""), ("annealed", ANNEALED)):
        runs = grids[name]
        runs = runs.squeeze("anneal", drop=True) if "anneal" in runs.dims else runs
        curves = runs[["max_at_k", "entropy", "gradient_norm"]]
        curves["max_at_1"] = runs.J.sel(evaluation_k=1, drop=True)
        tuned = tune(curves, curves.max_at_k.isel(update=-1), config.num_tuning_seeds)
        learners = [f"{one}{suffix}" for one in labels.estimators(tuned)]
        of_grids.append(tuned.rename(estimator="learner").assign_coords(learner=learners))
    dataset = xr.concat(of_grids, dim="learner", combine_attrs="drop", coords="minimal")
    dataset = dataset.transpose("instance", "learner", "seed", "update")[list(MEASURES)]
    return labels.label(dataset.astype(np.float32), MEASURES)


def draw(dataset: xr.Dataset) -> Drawing:
    """One row per instance: J_K, J_1, entropy and gradient norm against updates."""
    k = stored_config(dataset).run.k
    panels = {
        "max_at_k": f"$J_K$, $K = {k}$",
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
                    draw_curve(ax, known.update.values, known, str(learner), k)
            if row == 0:
                style.panel_title(ax, label)
        style.log_axis(axes[row, -1], "y")
        axes[row, 0].set_ylabel(INSTANCE_LABELS[str(name)])
    for ax in axes[-1]:
        ax.set_xlabel("updates")
    style.shared_legend(figure)
    return figure


def findings(dataset: xr.Dataset) -> list[Finding]:
    """What training came to, for J_K and for J_1, whichever way it comes out."""
    final = dataset.isel(update=-1)
    known = final.max_at_k.notnull().any(["instance", "seed"])
    learners = [str(learner) for learner in final.learner.values[known.values]]
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
        f"{labels.short(first)} above {labels.short(second)} in {target}",
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
    run, rates = config.run, config.grid.constant.learning_rate
    optimizer = {"sgd": "plain gradient ascent", "adam": "Adam"}[run.optimizer]
    num_edge = at_the_edge(dataset.learning_rate.values, rates)
    grid = ", ".join(f"{rate:g}" for rate in rates)
    return (
        f"Learning on hard bandits with n = {run.num_actions} arms, B = {run.group_size}, "
        f"K = {run.k}, by {optimizer}. Rows: needle (one arm pays 1, starts 20 times less "
        "likely than each of the others, which pay 0 to 0.5), rare success (one arm succeeds with "
        "chance 0.2, the others with 0.01), ladder (rung j pays 2^(j/2) with chance 2^-j). J_K, "
        "J_1 and entropy are exact, from the policy's parameters. Curves: mean over "
        f"{dataset.sizes['seed']} seeds; bands: 95% bootstrap intervals. The learning rate of "
        f"every estimator is chosen by the same grid ({grid}) for the largest J_K after training "
        f"on {config.num_tuning_seeds} other seeds; {num_edge} choices lie on the edge of the "
        f"grid. The dotted curve lowers K from {run.k} to 1 in equal steps during training."
    )


FIGURE = Figure(
    name="bandit_learning",
    question="Which policy does each estimator reach on bandits where success is rare?",
    grids={"constant": "bandit_training", "annealed": "bandit_training"},
    summarize=summarize,
    draw=draw,
    findings=findings,
    caption=caption,
    check=check_tuning,
)
