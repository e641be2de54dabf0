"""Figure, claims and caption of the learning curves in the maze, from the stored data alone."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import style
from experiments.claims import Claim
from experiments.configuration import stored_config
from experiments.statistics import bootstrap_interval

NAME = "maze_learning"
PANELS = {
    "mean_return": "mean return",
    "best_return": "best return",
    "prob": "prob. of action 1",
    "entropy": "entropy (nats)",
    "gradient_variance": "gradient variance",
}
COLLAPSED = 0.98  # probability of action 1 above which a policy has settled on it
PROB_TOLERANCE = 0.01


def _shown(dataset: xr.Dataset) -> xr.Dataset:
    return dataset.sel(learning_rate=stored_config(dataset).shown_learning_rate)


def draw(dataset: xr.Dataset) -> Figure:
    """One row per quantity, one column per K > 1; the estimators of J_1 stand in every column."""
    shown = _shown(dataset)
    ks = [int(k) for k in dataset.k.values if k > 1]
    figure, axes = style.grid_of_panels(
        len(PANELS), len(ks), panel_height=1.35, sharex=True, sharey="row"
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
        style.log_axis(axes[-1, column], "y")
    style.shared_legend(figure)
    return figure


def _draw_curves(ax: Axes, shown: xr.Dataset, metric: str, k: int) -> None:
    for name in shown.estimator.values:
        own_k = k if _runs_at(shown, name, k) else 1
        if not _runs_at(shown, name, own_k):
            continue
        chosen = shown.sel(estimator=name, k=own_k)
        curve, margin = chosen[metric].values, chosen[f"{metric}_margin"].values
        low = curve - margin
        if metric == "gradient_variance":
            positive = np.where(curve > 0, curve, np.nan)
            curve, low = positive, np.maximum(low, positive / 10)
        every = max(1, curve.size // 8)
        style.curve_with_interval(
            ax, shown["update"].values, curve, low, curve + margin, str(name), markevery=every
        )


def _runs_at(dataset: xr.Dataset, name: str, k: int) -> bool:
    chosen = dataset.final_value.sel(estimator=name)
    return k in chosen.k.values and bool(chosen.sel(k=k).notnull().any())


def _draw_references(ax: Axes, dataset: xr.Dataset, metric: str, k: int) -> None:
    """Dashed: the policy best for this K (grey) and for K = 1 (black)."""
    if f"optimal_{metric}" not in dataset:
        return
    for own_k, color in ((1, style.BLACK), (k, style.GREY)):
        if own_k in dataset.k.values:
            level = float(dataset[f"optimal_{metric}"].sel(k=own_k))
            label = "optimum of $J_1$ (exact)" if own_k == 1 else "optimum of $J_K$ (exact)"
            ax.axhline(level, color=color, linestyle="--", linewidth=0.9, label=label, zorder=1)


def claims(dataset: xr.Dataset) -> list[Claim]:
    """The collapse at K = 1, the optimum kept at K > 1, and MaxPO against its rivals."""
    shown = _shown(dataset)
    found = []
    if "rloo" in dataset.estimator.values:
        found.append(_collapse(dataset, shown))
    for name in shown.estimator.values:
        found += [
            _keeps_optimum(shown, str(name), int(k))
            for k in shown.k.values
            if k > 1 and _runs_at(shown, name, int(k))
        ]
    for rival in ("ei", "pkpo_sloo", "zscore_maxpo"):
        if rival in dataset.estimator.values and "maxpo" in dataset.estimator.values:
            for k in dataset.k.values:
                if k > 1:
                    found += _against(dataset, rival, int(k))
    return found


def _mean_with_interval(values: np.ndarray) -> tuple[float, str]:
    interval = bootstrap_interval(values, statistic=np.mean)
    mean = float(np.mean(values))
    return mean, f"{mean:.3f} [{float(interval.low):.3f}, {float(interval.high):.3f}]"


def _collapse(dataset: xr.Dataset, shown: xr.Dataset) -> Claim:
    path = stored_config(dataset).path
    first_turn = len(path) - len(path.lstrip(path[0]))
    rloo = shown.sel(estimator="rloo", k=1)
    prob, prob_text = _mean_with_interval(rloo.final_prob.values)
    best, best_text = _mean_with_interval(rloo.final_best_return.values)
    collapsed = prob > COLLAPSED if path[0] == "1" else prob < 1 - COLLAPSED
    return Claim(
        NAME,
        "rloo_collapses",
        "RLOO settles on one action, and its best return of a group stays within 1 of the first "
        f"turn of the path ({first_turn})",
        f"probability of action 1 {prob_text}, best return {best_text}",
        collapsed and best < first_turn + 1,
    )


def _keeps_optimum(shown: xr.Dataset, name: str, k: int) -> Claim:
    chosen = shown.sel(estimator=name, k=k)
    prob, text = _mean_with_interval(chosen.final_prob.values)
    exact = float(chosen.optimal_prob)
    label = style.estimator_style(name).label
    return Claim(
        NAME,
        f"{name}_keeps_optimum_k{k}",
        f"{label} at K = {k} keeps the probability of action 1 within {PROB_TOLERANCE} of the "
        "exact optimum of J_K",
        f"{text}; exact {exact:.4f}",
        abs(prob - exact) <= PROB_TOLERANCE,
    )


def _against(dataset: xr.Dataset, rival: str, k: int) -> list[Claim]:
    """MaxPO and a rival: value and variance at one rate, speed at the best rate of each."""
    label = style.estimator_style(rival).label
    shown = _shown(dataset)
    ours, theirs = (shown.sel(estimator=name, k=k) for name in ("maxpo", rival))
    gain = ours.final_value.values - theirs.final_value.values
    logs = np.log(ours.final_gradient_variance.values / theirs.final_gradient_variance.values)
    ratio = bootstrap_interval(logs, statistic=np.mean)
    speed_text, faster = _speed(dataset, rival, k)
    return [
        Claim(
            NAME,
            f"maxpo_value_above_{rival}_k{k}",
            f"at K = {k} MaxPO ends with a larger exact J_K than {label}, at the same rate",
            f"difference {_mean_with_interval(gain)[1]}, optimum {float(ours.optimal_value):.3f}",
            bool(bootstrap_interval(gain, statistic=np.mean).low > 0),
        ),
        Claim(
            NAME,
            f"maxpo_variance_below_{rival}_k{k}",
            f"at K = {k} the gradient of MaxPO has a lower variance than that of {label} in the "
            "last tenth of training, at the same rate",
            f"ratio {np.exp(logs.mean()):.3f} [{np.exp(float(ratio.low)):.3f}, "
            f"{np.exp(float(ratio.high)):.3f}]",
            float(ratio.high) < 0,
        ),
        Claim(
            NAME,
            f"maxpo_faster_than_{rival}_k{k}",
            f"at K = {k} MaxPO reaches 90% of the optimum of J_K in fewer updates than {label}, "
            "each at its best learning rate",
            speed_text,
            faster,
        ),
    ]


def _best_rate(dataset: xr.Dataset, name: str, k: int, threshold: float) -> xr.DataArray:
    """Updates to the threshold at the learning rate with the smallest mean.

    A seed that never gets there counts with all updates of the run.
    """
    updates = dataset.updates_to_threshold.sel(estimator=name, k=k, threshold=threshold)
    updates = updates.fillna(stored_config(dataset).num_updates)
    return updates.isel(learning_rate=int(updates.mean("seed").argmin("learning_rate")))


def _speed(dataset: xr.Dataset, rival: str, k: int) -> tuple[str, bool]:
    """Updates to each threshold, and whether MaxPO needs fewer for the first of them."""
    texts, faster = [], []
    for threshold in dataset.threshold.values:
        ours, theirs = (_best_rate(dataset, name, k, threshold) for name in ("maxpo", rival))
        interval = bootstrap_interval(ours.values - theirs.values, statistic=np.mean)
        runs = " against ".join(
            f"{updates.values.mean():.0f} (rate {float(updates.learning_rate):g})"
            for updates in (ours, theirs)
        )
        difference = f"difference [{float(interval.low):.0f}, {float(interval.high):.0f}]"
        texts.append(f"to {threshold:.0%}: {runs}, {difference}")
        faster.append(bool(interval.high < 0))
    return "; ".join(texts), faster[0]


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
        f"interval; returns are moving averages over 10 updates; the gradient variance comes from "
        f"{config.variance_groups} further groups at the policy of the moment. Estimators of J_1 "
        f"(RLOO, GRPO) are the same in every column. Dashed: the exact optimum of J_1 (black) and "
        f"of J_K (grey) over the policy class ({optima}), and what the policy that attains it "
        f"gives."
    )
