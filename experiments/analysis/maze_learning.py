"""Learning curves of every estimator in the biased maze, beside the exact optima."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from ml_collections import ConfigDict

from experiments.analysis import effects as comparisons
from experiments.analysis import labels, paper
from experiments.analysis.learning_curves import first_update
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding
from experiments.common.statistics import bootstrap_interval
from experiments.engine.figure import Figure

NAME = "maze_learning"
PANELS = {
    "mean_return": "mean return",
    "best_return": "best return",
    "prob": "$P$(action 1)",
    "entropy": "entropy",
    "gradient_variance": "variance of $g$",
}
PROB_TOLERANCE = 0.01
NUM_POINTS = 40  # of a curve that are drawn


CURVES = {
    "mean_return": "mean return, moving average over 10 updates",
    "best_return": "best return of a group, moving average over 10 updates",
    "prob": "probability of action 1, mean over states",
    "entropy": "entropy of the policy in nats, mean over states",
    "gradient_variance": "trace of the covariance of the gradient estimate",
}
OPTIMA = {
    "value": "exact largest J_K of the policy class",
    "prob": "probability of action 1 of the policy with the largest J_K",
    "mean_return": "exact J_1 of the policy with the largest J_K",
    "best_return": "exact expected best return of a group at the largest J_K",
    "entropy": "entropy in nats of the policy with the largest J_K",
}
LONG_NAMES = {
    **CURVES,
    **{f"{name}_low": f"low end of the 95% interval: {CURVES[name]}" for name in CURVES},
    **{f"{name}_high": f"high end of the 95% interval: {CURVES[name]}" for name in CURVES},
    **{f"final_{name}": f"last tenth of training: {CURVES[name]}" for name in CURVES},
    **{f"optimal_{name}": OPTIMA[name] for name in OPTIMA},
    "final_value": "exact J_K of the policy, mean over the last tenth of training",
    "updates_to_threshold": "updates until the exact J_K is this share of its largest value; "
    "missing where never",
}
THRESHOLDS = (0.9, 0.99)  # of the exact optimum
LAST_SHARE = 0.1  # of the updates, over which final values are averaged


def summarize(config: ConfigDict, grids: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Curves at few updates, final values of each run, and the exact optima."""
    of_grids = [
        grids[name][[*CURVES, "max_at_k"]].astype(np.float32) for name in ("by_k", "first_moment")
    ]
    names = [name for of_grid in of_grids[::-1] for name in labels.estimators(of_grid)]
    runs = of_grids[0].combine_first(of_grids[1]).sel(estimator=list(dict.fromkeys(names)))
    optima = grids["optimum"].rename({name: f"optimal_{name}" for name in OPTIMA})
    dataset = _means(runs[list(CURVES)])
    last = runs.isel(update=slice(-max(1, round(LAST_SHARE * runs.sizes["update"])), None))
    for name in CURVES:
        dataset[f"final_{name}"] = last[name].mean("update", skipna=False)
    dataset["final_value"] = last.max_at_k.mean("update", skipna=False)
    goals = optima.optimal_value * xr.DataArray(
        list(THRESHOLDS), dims="threshold", coords={"threshold": list(THRESHOLDS)}
    )
    dataset["updates_to_threshold"] = first_update(runs.max_at_k >= goals)
    return labels.label(dataset.merge(optima[[f"optimal_{name}" for name in OPTIMA]]), LONG_NAMES)


def _means(curves: xr.Dataset) -> xr.Dataset:
    """Mean and interval over seeds, at updates that are evenly spaced in log."""
    spaced = np.geomspace(1, curves.sizes["update"], NUM_POINTS).round().astype(int) - 1
    curves = curves.isel(update=np.unique(spaced))
    means = curves.mean("seed", skipna=False)
    for name in CURVES:
        known = curves[name].fillna(0).transpose("seed", *means[name].dims)
        interval = bootstrap_interval(known.values, axis=0, statistic=np.mean)
        for end in ("low", "high"):
            values = means[name].copy(data=getattr(interval, end).astype(np.float32))
            means[f"{name}_{end}"] = values.where(means[name].notnull())
    return means


def _shown(dataset: xr.Dataset) -> xr.Dataset:
    return dataset.sel(learning_rate=stored_config(dataset).shown_learning_rate)


def draw(dataset: xr.Dataset) -> Drawing:
    """One row per quantity, one column per K > 1; the estimators of J_1 stand in every column."""
    shown = _shown(dataset)
    ks = [int(k) for k in dataset.k.values if k > 1]
    figure, axes = style.grid_of_panels(
        len(PANELS), len(ks), panel_height=1.15, sharex=True, sharey="row"
    )
    for column, k in enumerate(ks):
        for row, (metric, label) in enumerate(PANELS.items()):
            ax = axes[row, column]
            _draw_curves(ax, shown, metric, k)
            _draw_references(ax, dataset, metric, k)
            if column == 0:
                ax.set_ylabel(label)
        style.panel_title(axes[0, column], f"$K = {k}$")
        axes[-1, column].set_xlabel("updates")
        style.log_axis(axes[-1, column], "x")
        style.log_axis(axes[-1, column], "y")
    style.shared_legend(figure)
    return figure


def _draw_curves(ax: Axes, shown: xr.Dataset, metric: str, k: int) -> None:
    updates = shown["update"].values
    for name in shown.estimator.values:
        own_k = k if _runs_at(shown, name, k) else 1
        if not _runs_at(shown, name, own_k):
            continue
        chosen = shown.sel(estimator=name, k=own_k)
        curve, low, high = (chosen[f"{metric}{end}"].values for end in ("", "_low", "_high"))
        if metric == "gradient_variance":
            curve = np.where(curve > 0, curve, np.nan)
            low = np.maximum(low, curve / 10)  # the axis is logarithmic
        style.curve_with_interval(ax, updates, curve, low, high, str(name))


def _runs_at(dataset: xr.Dataset, name: str, k: int) -> bool:
    chosen = dataset.final_value.sel(estimator=name)
    return k in chosen.k.values and bool(chosen.sel(k=k).notnull().any())


def _draw_references(ax: Axes, dataset: xr.Dataset, metric: str, k: int) -> None:
    """Dashed: the policy best for this K (gray) and for K = 1 (black)."""
    if f"optimal_{metric}" not in dataset:
        return
    for own_k, color in ((1, style.BLACK), (k, style.GRAY)):
        if own_k in dataset.k.values:
            level = float(dataset[f"optimal_{metric}"].sel(k=own_k))
            label = "optimum of $J_1$ (exact)" if own_k == 1 else "optimum of $J_K$ (exact)"
            ax.axhline(level, color=color, linestyle="--", linewidth=0.9, label=label, zorder=1)


def findings(dataset: xr.Dataset) -> list[Finding]:
    """Who settles on one action, whether MaxPO finds the optimum, and MaxPO against its rivals."""
    shown = _shown(dataset)
    names = [str(name) for name in dataset.estimator.values]
    if "maxpo" not in names or not _ks_of(shown, "maxpo"):
        return []
    found = [_keeps_looking(shown)] if "rloo" in names and _runs_at(shown, "rloo", 1) else []
    found.append(_finds_optimum(shown))
    rivals = [name for name in ("ei", *labels.added(names)) if name in names]
    found += [_ends_higher(shown, rival) for rival in rivals if _ks_of(shown, rival)]
    rivals = [name for name in ("ei", "pkpo_sloo") if name in names]
    return found + [_varies_less(shown, rival) for rival in rivals]


def _ks_of(dataset: xr.Dataset, name: str) -> list[int]:
    """The K > 1 at which an estimator has run."""
    return [int(k) for k in dataset.k.values if k > 1 and _runs_at(dataset, name, int(k))]


def _tested(shown: xr.Dataset, rival: str) -> str:
    run, ks = stored_config(shown).run, "/".join(map(str, _ks_of(shown, rival)))
    return f"maze {run.path}, B = {run.group_size}, K = {ks}"


def _keeps_looking(shown: xr.Dataset) -> Finding:
    """The best return of a group, against RLOO, in words that say what it settles on."""
    ks, rloo = _ks_of(shown, "maxpo"), shown.sel(estimator="rloo", k=1)
    effects = [
        comparisons.difference(
            f"at K = {k}",
            shown.final_best_return.sel(estimator="maxpo", k=k),
            rloo.final_best_return,
            num_effects=len(ks),
        )
        for k in ks
    ]
    best = shown.sel(estimator="maxpo", k=ks[-1])

    def said(label: str, of: xr.Dataset) -> str:
        prob, value = float(of.final_prob.mean()), float(of.final_best_return.mean())
        return f"{label} ends at P(1) = {prob:.3f}, best return {value:.2f}"

    return Finding(
        NAME,
        "maxpo_keeps_looking",
        "RLOO settles on one action, MaxPO keeps looking",
        effects,
        f"best return of {stored_config(shown).run.group_size} tries, MaxPO minus RLOO",
        f"{said('RLOO', rloo)}; {said(f'MaxPO (K = {ks[-1]})', best)}",
    )


def _finds_optimum(shown: xr.Dataset) -> Finding:
    ks = _ks_of(shown, "maxpo")
    effects, optima = [], []
    for k in ks:
        chosen = shown.sel(estimator="maxpo", k=k)
        optimum = float(chosen.optimal_prob)
        optima.append(f"{float(chosen.final_prob.mean()):.3f} of {optimum:.3f} at K = {k}")
        values = chosen.final_prob.values - optimum
        effects.append(
            comparisons.near(f"at K = {k}", values, 0.0, PROB_TOLERANCE, num_effects=len(ks))
        )
    return Finding(
        NAME,
        "maxpo_finds_optimum",
        "MaxPO ends at the policy that is best for K tries",
        effects,
        f"probability of action 1 minus the exact optimum, to be 0 within {PROB_TOLERANCE}",
        "P(1) = " + "; ".join(optima),
    )


def _ends_higher(shown: xr.Dataset, rival: str) -> Finding:
    ks, label = _ks_of(shown, rival), style.plain_label(rival)
    effects = [
        comparisons.difference(
            f"at K = {k}",
            *(shown.final_value.sel(estimator=name, k=k) for name in ("maxpo", rival)),
            num_effects=len(ks),
        )
        for k in ks
    ]
    return Finding(
        NAME,
        f"maxpo_value_above_{labels.short(rival)}",
        f"MaxPO ends with a larger exact J_K than {label}, at the same learning rate",
        effects,
        f"exact J_K, MaxPO minus {label}",
        paper=paper.BETTER if rival == "ei" else "",
        tested=f"{_tested(shown, rival)}, against {label}" if rival == "ei" else "",
    )


def _varies_less(shown: xr.Dataset, rival: str) -> Finding:
    ks, label = _ks_of(shown, rival), style.plain_label(rival)
    effects = [
        comparisons.ratio_below_one(
            f"at K = {k}",
            *(
                shown.final_gradient_variance.sel(estimator=name, k=k).values
                for name in ("maxpo", rival)
            ),
            num_effects=len(ks),
        )
        for k in ks
    ]
    return Finding(
        NAME,
        f"maxpo_variance_below_{labels.short(rival)}",
        f"In the last tenth of training the gradient of MaxPO varies less than that of {label}",
        effects,
        f"variance, MaxPO over {label}",
        paper=paper.LOWER_VARIANCE if rival == "ei" else "",
        tested=f"{_tested(shown, rival)}, against {label}" if rival == "ei" else "",
    )


def _is_of_one(dataset: xr.Dataset, name: str) -> bool:
    """Whether an estimator has run at K = 1 alone."""
    shown = _shown(dataset)
    return 1 in shown.k.values and _runs_at(shown, name, 1) and not _ks_of(shown, name)


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    config = stored_config(dataset)
    run = config.run
    first_moment = " and ".join(
        style.plain_label(name) for name in labels.estimators(dataset) if _is_of_one(dataset, name)
    )
    if first_moment:
        first_moment += ": trained for K = 1, the same in every column. "
    optima = "; ".join(
        f"K = {int(k)}: p = {float(dataset.optimal_prob.sel(k=k)):.3f}, "
        f"J_K = {float(dataset.optimal_value.sel(k=k)):.3f}"
        for k in dataset.k.values
    )
    return (
        f"Learning in the biased maze with correct path {run.path}: {run.policy} policy, "
        f"groups of B = {run.group_size} episodes, learning rate "
        f"{config.shown_learning_rate:g}. Curves: mean over {dataset.sizes['seed']} seeds and its "
        f"95% bootstrap interval; returns are moving averages over 10 updates; entropy in nats; "
        f"the variance of the gradient g comes from {run.variance_groups} further groups at the "
        f"policy of the moment. {first_moment}Dashed: the exact optimum of J_1 (black) and "
        f"of J_K (gray) over the policy class ({optima}), and what the policy that attains it "
        f"gives."
    )


def check(config: ConfigDict) -> None:
    """Refuse a shown learning rate at which nothing is trained, and variances of one group."""
    for name in ("first_moment", "by_k"):
        rates = config.grid[name].learning_rate
        if config.shown_learning_rate not in rates:
            raise ValueError(
                f"shown_learning_rate is {config.shown_learning_rate}; it must be one of {rates}"
            )
    if config.run.variance_groups < 2:
        raise ValueError("variance_groups must be at least 2: the variance is shown")
    if config.grid.optimum.k != config.grid.by_k.k:
        raise ValueError("the optima are those of the K of training: grid.optimum.k must be by_k's")


FIGURE = Figure(
    name="maze_learning",
    question="Who settles on one action in the biased maze, and who keeps looking?",
    grids={"first_moment": "maze_training", "by_k": "maze_training", "optimum": "maze_optimum"},
    summarize=summarize,
    draw=draw,
    findings=findings,
    caption=caption,
    check=check,
)
