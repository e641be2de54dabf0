"""Learning curves on hard bandits: exact J_K of the policy while each estimator trains it."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from ml_collections import ConfigDict

from experiments.analysis import effects as comparisons
from experiments.analysis import labels, paper
from experiments.analysis.learning_curves import (
    INSTANCE_LABELS,
    INSTANCES,
    OPTIMIZER_LABELS,
    check_tuning,
    draw_curve,
    how_tuned,
    tune,
)
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding
from experiments.engine.figure import Figure

NAME = "bandit_learning"
ANNEALED = "+annealed"  # behind the name of the estimator
RECORDS_AVERAGED = 5  # for a point of a curve of gradient norms
SMALLEST_NORM = 1e-5  # that is drawn, over the largest of the panel
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
    run = stored_config(dataset).run
    panels = {
        "max_at_k": f"$J_K$, $K = {run.k}$",
        "max_at_1": "$J_1$",
        "entropy": "entropy (nats)",
        "gradient_norm": r"$\|g\|$",
    }
    figure, axes = style.grid_of_panels(
        dataset.sizes["instance"], len(panels), panel_height=1.5, sharex=True
    )
    for row, name in enumerate(dataset.instance.values):
        for column, (measure, label) in enumerate(panels.items()):
            ax, curves = axes[row, column], dataset[measure].sel(instance=name)
            for learner in dataset.learner.values:
                values = curves.sel(learner=learner)
                if not values.isnull().all():
                    known = values.dropna("update", how="all")
                    if measure == "gradient_norm":
                        known = _means_of_records(known)
                    draw_curve(ax, known.update.values, known, str(learner), run.k)
            if row == 0:
                style.panel_title(ax, label)
        _log_axis_of_norms(axes[row, -1])
        axes[row, 0].set_ylabel(INSTANCE_LABELS[str(name)])
    for ax in axes[-1]:
        ax.set_xlabel("updates")
    axes[-1, -1].set_xlabel(f"updates\n(means over {RECORDS_AVERAGED * run.updates_per_record})")
    style.shared_legend(figure)
    return figure


def _means_of_records(norms: xr.DataArray) -> xr.DataArray:
    """Means over a few records and their updates: of one alone, many a gradient is exactly zero."""
    return norms.coarsen(update=RECORDS_AVERAGED, boundary="pad").mean()


def _log_axis_of_norms(ax: Axes) -> None:
    """What is far smaller than the largest norm is as good as zero, and left out."""
    style.log_axis(ax, "y")
    norms = np.concatenate([[0.0], *(np.asarray(line.get_ydata(), float) for line in ax.lines)])
    largest = norms[np.isfinite(norms)].max()
    ax.set_ylim(bottom=max(ax.get_ylim()[0], largest * SMALLEST_NORM))


def findings(dataset: xr.Dataset) -> list[Finding]:
    """What training came to, for J_K and for J_1, MaxPO against the others."""
    final = dataset.isel(update=-1)
    known = final.max_at_k.notnull().any(["instance", "seed"])
    learners = [str(learner) for learner in final.learner.values[known.values]]
    if "maxpo" not in learners:
        return []
    run = stored_config(dataset).run
    tested = f"bandits, n = {run.num_actions}, B = {run.group_size}, K = {run.k}"
    rivals = {"rloo": "", "grpo": "", "ei": paper.BETTER, "pkpo_s": ""}
    rivals |= dict.fromkeys(labels.added(learners), "")
    found = [
        _ends_higher(final.max_at_k, "maxpo", rival, f"J_{run.k}", statement, tested)
        for rival, statement in rivals.items()
        if rival in learners
    ]
    annealed = [learner for learner in learners if learner == f"maxpo{ANNEALED}"]
    return found + [_ends_higher(final.max_at_1, one, "maxpo", "J_1") for one in annealed]


def _ends_higher(
    final: xr.DataArray, first: str, second: str, target: str, statement: str = "", tested: str = ""
) -> Finding:
    """Paired by seed: both learners start from the same random numbers."""
    pair = final.sel(learner=[first, second]).astype(np.float64)
    known = [name for name in final.instance.values if pair.sel(instance=name).notnull().all()]
    effects = [
        comparisons.difference(
            f"on {INSTANCE_LABELS[str(name)]}",
            *(pair.sel(instance=name, learner=one) for one in (first, second)),
            num_effects=len(known),
        )
        for name in known
    ]
    return Finding(
        NAME,
        f"{labels.short(first)} above {labels.short(second)} in {target}",
        f"{_label(first)} ends with a larger {target} than {_label(second)}",
        effects,
        f"{target} after training, {_label(first)} minus {_label(second)}",
        paper=statement,
        tested=f"{tested}, against {_label(second)}" if statement else "",
    )


def _label(learner: str) -> str:
    estimator, *annealed = learner.split("+")
    label = style.plain_label(estimator)
    return f"{label} with K annealed" if annealed else label


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    config = stored_config(dataset)
    run, rates = config.run, config.grid.constant.learning_rate
    instances = [str(name) for name in dataset.instance.values]
    rows = "; ".join(f"{INSTANCE_LABELS[name]} ({INSTANCES[name]})" for name in instances)
    tuned = how_tuned(dataset.learning_rate.values, rates, config.num_tuning_seeds, f"J_{run.k}")
    annealed = any(ANNEALED in str(learner) for learner in dataset.learner.values)
    dotted = f" Dotted: K falls from {run.k} to 1 in equal steps during training." * annealed
    return (
        f"Learning on hard bandits with n = {run.num_actions} arms, B = {run.group_size}, "
        f"K = {run.k}, by {OPTIMIZER_LABELS[run.optimizer]}. Rows: {rows}. J_K, J_1 and entropy "
        "are exact, from the policy's parameters; the norm of the gradient is a mean over "
        f"{RECORDS_AVERAGED * run.updates_per_record} updates, drawn down to 1e-5 of the largest "
        f"of its panel. Curves: mean over {dataset.sizes['seed']} seeds; bands: 95% bootstrap "
        f"intervals. Learning rate of each estimator: {tuned}.{dotted}"
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
