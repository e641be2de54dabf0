"""Figure, claims and caption of the learning curves in the maze, from the stored data alone."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding
from experiments.common.statistics import bootstrap_interval

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
    spaced = np.geomspace(1, updates.size, NUM_POINTS).round().astype(int) - 1
    points = np.unique(spaced)
    names = sorted(shown.estimator.values, key=lambda name: name == "maxpo")  # MaxPO on top
    for name in names:
        own_k = k if _runs_at(shown, name, k) else 1
        if not _runs_at(shown, name, own_k):
            continue
        chosen = shown.sel(estimator=name, k=own_k).isel(update=points)
        curve, margin = chosen[metric].values, chosen[f"{metric}_margin"].values
        low = curve - margin
        if metric == "gradient_variance":
            curve = np.where(curve > 0, curve, np.nan)
            low = np.maximum(low, curve / 10)  # the axis is logarithmic
        style.curve_with_interval(
            ax, updates[points], curve, low, curve + margin, str(name), markevery=5
        )


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
    rivals = [rival for rival in RIVALS if rival in names and "maxpo" in names]
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


def _plain(name: str) -> str:
    """The name of an estimator in text without formulas."""
    return {"pkpo_sloo": "PKPO s_loo"}.get(name, style.estimator_style(name).label)


def _collapse(dataset: xr.Dataset, shown: xr.Dataset) -> Finding:
    path = stored_config(dataset).path
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
    texts, kept = [], []
    for k in _ks_of(shown, name):
        chosen = shown.sel(estimator=name, k=k)
        prob, text = _mean_with_interval(chosen.final_prob.values)
        exact = float(chosen.optimal_prob)
        texts.append(f"K = {k}: {text}, exact {exact:.4f}")
        kept.append(abs(prob - exact) <= PROB_TOLERANCE)
    return Finding(
        NAME,
        f"{name}_keeps_optimum",
        f"{_plain(name)} keeps the probability of action 1 within {PROB_TOLERANCE} of the exact "
        "optimum of J_K",
        "; ".join(texts),
        all(kept),
    )


def _ends_higher(shown: xr.Dataset, rival: str) -> Finding:
    texts, higher = [], []
    for k in _ks_of(shown, rival):
        ours, theirs = (shown.sel(estimator=name, k=k).final_value for name in ("maxpo", rival))
        gain = ours.values - theirs.values
        texts.append(f"K = {k}: {_mean_with_interval(gain, 4)[1]}")
        higher.append(bootstrap_interval(gain, statistic=np.mean).low > 0)
    return Finding(
        NAME,
        f"maxpo_value_above_{rival}",
        f"MaxPO ends with a larger exact J_K than {_plain(rival)} at every K, at the same rate",
        "difference, " + "; ".join(texts),
        all(higher),
    )


def _varies_less(shown: xr.Dataset, rival: str) -> Finding:
    texts, lower = [], []
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
        f"maxpo_variance_below_{rival}",
        f"the gradient of MaxPO varies less than that of {_plain(rival)} at every K, in the last "
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
    return slowest.fillna(stored_config(dataset).num_updates).values


def _faster(dataset: xr.Dataset, rival: str) -> Finding:
    """Updates to each threshold; the first of them decides."""
    texts, faster = [], []
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
        f"maxpo_faster_than_{rival}",
        f"MaxPO reaches 90% of the optimum of J_K in fewer updates than {_plain(rival)} at every "
        f"K, at the learning rate {float(dataset.learning_rate.min()):g}",
        "updates to " + "; ".join(texts),
        all(faster),
    )


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    config = stored_config(dataset)
    optima = "; ".join(
        f"K = {int(k)}: p = {float(dataset.optimal_prob.sel(k=k)):.3f}, "
        f"J_K = {float(dataset.optimal_value.sel(k=k)):.3f}"
        for k in dataset.k.values
    )
    return (
        f"Learning in the biased maze with correct path {config.path}: {config.policy} policy, "
        f"groups of B = {config.group_size} episodes, learning rate "
        f"{config.shown_learning_rate:g}. Curves: mean over {config.num_seeds} seeds and its 95% "
        f"interval; returns are moving averages over 10 updates; entropy in nats; the variance of "
        f"the gradient g comes from {config.variance_groups} further groups at the policy of the "
        f"moment. Estimators of J_1 "
        f"(RLOO, GRPO) are the same in every column. Dashed: the exact optimum of J_1 (black) and "
        f"of J_K (gray) over the policy class ({optima}), and what the policy that attains it "
        f"gives."
    )
