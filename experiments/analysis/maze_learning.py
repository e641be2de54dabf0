"""Learning curves of every estimator in the biased maze, beside the exact optima."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from ml_collections import ConfigDict

from experiments.analysis import labels
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
COLLAPSED = 0.98  # probability of action 1 above which a policy has settled on it
PROB_TOLERANCE = 0.01
RIVALS = ("ei", "pkpo_sloo", "zscore_maxpo")
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
        len(PANELS), len(ks), panel_width=1.9, panel_height=1.1, sharex=True, sharey="row"
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
    names = sorted(shown.estimator.values, key=lambda name: name == "maxpo")  # MaxPO on top
    for name in names:
        own_k = k if _runs_at(shown, name, k) else 1
        if not _runs_at(shown, name, own_k):
            continue
        chosen = shown.sel(estimator=name, k=own_k)
        curve, low, high = (chosen[f"{metric}{end}"].values for end in ("", "_low", "_high"))
        if metric == "gradient_variance":
            curve = np.where(curve > 0, curve, np.nan)
            low = np.maximum(low, curve / 10)  # the axis is logarithmic
        style.curve_with_interval(ax, updates, curve, low, high, str(name), markevery=5)


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
    """The collapse at K = 1, the optimum kept at K > 1, and MaxPO against its rivals."""
    shown = _shown(dataset)
    names = [str(name) for name in dataset.estimator.values]
    found = [_collapse(dataset, shown)] if "rloo" in names else []
    found += [_keeps_optimum(shown, name) for name in names if _ks_of(shown, name)]
    rivals = [rival for rival in (*RIVALS, *labels.added(names)) if rival in names]
    rivals = [rival for rival in rivals if "maxpo" in names and _ks_of(shown, rival)]
    for rival in rivals:
        found += [_ends_higher(shown, rival), _varies_less(shown, rival), _faster(dataset, rival)]
    return found


def _ks_of(dataset: xr.Dataset, name: str) -> list[int]:
    """The K > 1 at which an estimator has run."""
    return [int(k) for k in dataset.k.values if k > 1 and _runs_at(dataset, name, int(k))]


def _mean_with_interval(values: np.ndarray, digits: int = 3) -> tuple[float, str]:
    low, high = bootstrap_interval(values, statistic=np.mean)
    mean = float(np.mean(values))
    return mean, f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _collapse(dataset: xr.Dataset, shown: xr.Dataset) -> Finding:
    path = stored_config(dataset).run.path
    first_turn = len(path) - len(path.lstrip(path[0]))
    rloo = shown.sel(estimator="rloo", k=1)
    prob, prob_text = _mean_with_interval(rloo.final_prob.values)
    best, best_text = _mean_with_interval(rloo.final_best_return.values)
    collapsed = prob > COLLAPSED if path[0] == "1" else prob < 1 - COLLAPSED
    return Finding(
        NAME,
        "rloo_collapses",
        "RLOO settles on one action, and its best return of a group stays within 1 of the first "
        f"turn of the path ({first_turn})",
        f"probability of action 1 {prob_text}, best return {best_text}",
        collapsed and best < first_turn + 1,
    )


def _keeps_optimum(shown: xr.Dataset, name: str) -> Finding:
    texts, kept, label = [], [], style.plain_label(name)
    for k in _ks_of(shown, name):
        chosen = shown.sel(estimator=name, k=k)
        prob, text = _mean_with_interval(chosen.final_prob.values)
        exact = float(chosen.optimal_prob)
        texts.append(f"K = {k}: {text}, exact {exact:.4f}")
        kept.append(abs(prob - exact) <= PROB_TOLERANCE)
    return Finding(
        NAME,
        f"{labels.short(name)}_keeps_optimum",
        f"{label} keeps the probability of action 1 within {PROB_TOLERANCE} of the exact "
        "optimum of J_K",
        "; ".join(texts),
        all(kept),
    )


def _ends_higher(shown: xr.Dataset, rival: str) -> Finding:
    texts, higher, label = [], [], style.plain_label(rival)
    for k in _ks_of(shown, rival):
        ours, theirs = (shown.sel(estimator=name, k=k).final_value for name in ("maxpo", rival))
        gain = ours.values - theirs.values
        texts.append(f"K = {k}: {_mean_with_interval(gain, 4)[1]}")
        higher.append(bootstrap_interval(gain, statistic=np.mean).low > 0)
    return Finding(
        NAME,
        f"maxpo_value_above_{labels.short(rival)}",
        f"MaxPO ends with a larger exact J_K than {label} at every K, at the same rate",
        "difference, " + "; ".join(texts),
        all(higher),
    )


def _varies_less(shown: xr.Dataset, rival: str) -> Finding:
    texts, lower, label = [], [], style.plain_label(rival)
    for k in _ks_of(shown, rival):
        ours, theirs = (
            shown.sel(estimator=name, k=k).final_gradient_variance.values
            for name in ("maxpo", rival)
        )
        logs = np.log(ours) - np.log(theirs)
        low, high = bootstrap_interval(logs, statistic=np.mean)
        ratio = f"{np.exp(logs.mean()):.3f} [{np.exp(low):.3f}, {np.exp(high):.3f}]"
        texts.append(f"K = {k}: {ratio}")
        lower.append(high < 0)
    return Finding(
        NAME,
        f"maxpo_variance_below_{labels.short(rival)}",
        f"the gradient of MaxPO varies less than that of {label} at every K, in the last "
        "tenth of training at the same rate",
        "ratio of variances, " + "; ".join(texts),
        all(lower),
    )


def _updates(dataset: xr.Dataset, name: str, k: int, threshold: float) -> np.ndarray:
    """Updates to the threshold at the smallest learning rate, per seed.

    There they are many, and it matters little that the curve is seen every 10 updates. A seed that
    never gets there counts with all updates of the run.
    """
    updates = dataset.updates_to_threshold.sel(estimator=name, k=k, threshold=threshold)
    slowest = updates.sel(learning_rate=dataset.learning_rate.min())
    return slowest.fillna(stored_config(dataset).run.num_updates).values


def _faster(dataset: xr.Dataset, rival: str) -> Finding:
    """Updates to each threshold; the first of them decides."""
    texts, faster, label = [], [], style.plain_label(rival)
    for threshold in dataset.threshold.values:
        for k in _ks_of(_shown(dataset), rival):
            ours, theirs = (_updates(dataset, name, k, threshold) for name in ("maxpo", rival))
            low, high = bootstrap_interval(ours - theirs, statistic=np.mean)
            texts.append(
                f"{threshold:.0%} at K = {k}: {ours.mean():.1f} against {theirs.mean():.1f}, "
                f"difference [{low:.1f}, {high:.1f}]"
            )
            if threshold == dataset.threshold.values[0]:
                faster.append(high < 0)
    return Finding(
        NAME,
        f"maxpo_faster_than_{labels.short(rival)}",
        f"MaxPO reaches 90% of the optimum of J_K in fewer updates than {label} at every "
        f"K, at the learning rate {float(dataset.learning_rate.min()):g}",
        "updates to " + "; ".join(texts),
        all(faster),
    )


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    config = stored_config(dataset)
    run = config.run
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
        f"policy of the moment. Estimators of J_1 "
        f"(RLOO, GRPO) are the same in every column. Dashed: the exact optimum of J_1 (black) and "
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
