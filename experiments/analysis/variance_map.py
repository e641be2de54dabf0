"""Exact variance ratio of EI and MaxPO on Bernoulli bandits, by enumeration of success counts."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from ml_collections import ConfigDict

from experiments.analysis import effects as comparisons
from experiments.analysis import labels, paper
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding
from experiments.engine.figure import Figure

NAME = "variance_map"
COLORS = "PuOr"
LONG_NAMES = {
    "variance": "exact trace of the covariance of the gradient estimate",
    "limit": "the same of orthogonal scores, the limit of many arms",
}
LARGEST_FACTOR = 4  # ratios beyond it share its color


def summarize(config: ConfigDict, grids: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Exact variances [num_actions, estimator, k, success_prob], and their limit of many arms."""
    variance = grids["map"].variance.rename(arms_per_outcome="num_actions")
    dataset = variance.assign_coords(num_actions=2 * variance.num_actions).to_dataset()
    dataset["limit"] = grids["limit"].variance
    return labels.label(dataset, LONG_NAMES)


def _others(dataset: xr.Dataset) -> list[str]:
    """The estimators that are compared with MaxPO."""
    known = dataset.variance.notnull().any(["num_actions", "k", "success_prob"])
    names = labels.estimators(dataset.isel(estimator=known.values))
    return [name for name in names if name != "maxpo"]


def _ratio(dataset: xr.Dataset, other: str) -> xr.DataArray:
    variance = dataset.variance
    ratio = variance.sel(estimator=other, drop=True) / variance.sel(estimator="maxpo", drop=True)
    return ratio.transpose("num_actions", "success_prob", "k")


def _limit(dataset: xr.Dataset, other: str) -> xr.DataArray:
    """The ratio that theory predicts for many arms."""
    ratio = dataset.limit.sel(estimator=other, drop=True)
    ratio = ratio / dataset.limit.sel(estimator="maxpo", drop=True)
    return ratio.transpose("success_prob", "k")


def draw(dataset: xr.Dataset) -> Drawing:
    """One map per estimator and number of arms, with the line where both variances are equal."""
    names, sizes = _others(dataset), dataset.num_actions.values
    figure, axes = style.grid_of_panels(
        len(names), len(sizes), panel_height=2.2, sharex=True, sharey=True
    )
    farthest = int(np.log2(LARGEST_FACTOR))
    norm = Normalize(-farthest, farthest)
    colors = ScalarMappable(norm, COLORS)
    ticks = list(range(-farthest, farthest + 1))
    for row, name in enumerate(names):
        for ax, n in zip(axes[row], sizes, strict=True):
            _draw_map(ax, dataset, name, int(n), norm)
        axes[row, 0].set_ylabel("success probability $p$")
        bar = figure.colorbar(colors, ax=axes[row].tolist(), ticks=ticks, extend="both")
        bar.ax.set_yticklabels([_factor(t) for t in ticks])
        bar.set_label(f"variance {style.estimator_style(name).label} / MaxPO")
    for ax in axes[-1]:
        ax.set_xlabel("$K / B$")
    lines = {"equal on $n$ arms": "-", "equal on many arms (theory)": "--"}
    handles = [Line2D([], [], color="black", ls=ls, label=text) for text, ls in lines.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _draw_map(ax: Axes, dataset: xr.Dataset, name: str, n: int, norm: Normalize) -> None:
    group_size = stored_config(dataset).run.group_size
    share, probs = dataset.k.values / group_size, dataset.success_prob.values
    with np.errstate(invalid="ignore", divide="ignore"):  # a variance of another may be 0
        logs = np.log2(_ratio(dataset, name).sel(num_actions=n).values)
    ax.pcolormesh(share, probs, logs, norm=norm, cmap=COLORS, shading="nearest", rasterized=True)
    if np.nanmin(logs) < 0 < np.nanmax(logs):
        ax.contour(share, probs, logs, levels=[0.0], colors="black", linewidths=1.2)
    with np.errstate(invalid="ignore", divide="ignore"):
        limit = np.log2(_limit(dataset, name).values)
    if np.nanmin(limit) < 0 < np.nanmax(limit):
        ax.contour(
            share, probs, limit, levels=[0.0], colors="black", linewidths=0.9, linestyles="--"
        )
    ax.grid(visible=False)
    style.panel_title(ax, f"$n = {n}$, $B = {group_size}$")


def _factor(exponent: int) -> str:
    return f"{2**exponent:g}" if exponent >= 0 else f"1/{2**-exponent:g}"


def findings(dataset: xr.Dataset) -> list[Finding]:
    """Where each estimator wins, and by how much."""
    return [finding for other in _others(dataset) for finding in _against(dataset, other)]


def _against(dataset: xr.Dataset, other: str) -> list[Finding]:
    ratio, label = _ratio(dataset, other), style.plain_label(other)
    of_sizes = {int(n): ratio.sel(num_actions=n) for n in ratio.num_actions.values}
    lower = {n: float((r > 1).sum() / r.notnull().sum()) for n, r in of_sizes.items()}
    most = max(of_sizes)
    run = stored_config(dataset).run
    extremes = {n: (float(r.min()), float(r.max())) for n, r in of_sizes.items()}
    return [
        Finding(
            NAME,
            f"maxpo_lower_than_{labels.short(other)}",
            f"MaxPO varies less than {label} on most of the map",
            [comparisons.exact(f"on {n} arms", x, holds=x > 0.5) for n, x in lower.items()],
            "share of the points (K, p) at which MaxPO has the lower variance",
            "; ".join(f"on {share:.0%} of it with {n} arms" for n, share in lower.items()),
            paper=paper.LOWER_VARIANCE if other == "ei" else "",
            tested=f"Bernoulli bandits, B = {run.group_size}, K = {int(ratio.k.min())} to "
            f"{int(ratio.k.max())}, all p, against {label}",
        ),
        _threshold(of_sizes[most].dropna("k", how="all"), most, other),
        Finding(
            NAME,
            f"extremes_{labels.short(other)}",
            f"The more arms, the more {label} can lose and the less it can gain",
            [
                comparisons.exact(f"at {word} on {n} arms", value)
                for n, ends in extremes.items()
                for word, value in zip(("least", "most"), ends, strict=True)
            ],
            f"variance of {label} over that of MaxPO",
            "; ".join(
                f"{low:.3g} to {high:.3g} times MaxPO on {n} arms"
                for n, (low, high) in extremes.items()
            ),
        ),
    ]


def _threshold(of_most: xr.DataArray, num_arms: int, other: str) -> Finding:
    """Where the two variances cross, for every K, on the most arms."""
    label, ks = style.plain_label(other), of_most.k.values
    thresholds = {int(k): _first_above_one(of_most.sel(k=k)) for k in ks}
    shown = [int(k) for k in ks[[0, len(ks) // 2, -1]]]
    return Finding(
        NAME,
        f"threshold_{labels.short(other)}",
        f"On {num_arms} arms MaxPO varies less than {label} above a success probability that grows "
        "with K",
        [comparisons.exact(f"at K = {k}", p) for k, p in thresholds.items()],
        f"largest success probability p at which {label} varies less",
        ", ".join(f"p > {thresholds[k]:.2g} at K = {k}" for k in dict.fromkeys(shown)),
    )


def _first_above_one(of_k: xr.DataArray) -> float:
    """The largest p up to which the other is not worse; 0 where MaxPO always wins."""
    lower = of_k.success_prob.values[of_k.values <= 1]
    return float(lower.max()) if lower.size else 0.0


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    run = stored_config(dataset).run
    others = " and ".join(style.plain_label(name) for name in _others(dataset))
    return (
        f"When does the leave-two-out baseline help? Exact ratio of the total variances of "
        f"{others} and MaxPO on Bernoulli bandits with n arms, of which half succeed (together "
        f"with probability p) and half fail, for groups of B = {run.group_size}. Purple: MaxPO "
        f"has the lower variance; orange: the other has; black line: equal; dashed: where "
        "theory puts it for many arms, whose scores are orthogonal. Colors end at a factor of "
        f"{LARGEST_FACTOR}. Every value is exact: the number of successes is enumerated."
    )


def check(config: ConfigDict) -> None:
    """Refuse a map without MaxPO, or without another to compare it with."""
    names = config.grid.map.estimator
    if "maxpo" not in names or len(names) < 2:
        raise ValueError(f"estimator is {names}; it must hold maxpo and one more")


FIGURE = Figure(
    name="variance_map",
    question="When does the leave-two-out baseline lower the variance?",
    grids={"map": "bernoulli_gradients", "limit": "orthogonal_gradients"},
    summarize=summarize,
    draw=draw,
    findings=findings,
    caption=caption,
    check=check,
)
