"""Figure, claims and caption of the variance map, from its stored data alone."""

import itertools

import numpy as np
import xarray as xr
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as Drawing

from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding

LARGEST_FACTOR = 4  # ratios beyond it share its color


def _ratio(dataset: xr.Dataset) -> xr.DataArray:
    variance = dataset.variance
    ratio = variance.sel(estimator="ei", drop=True) / variance.sel(estimator="maxpo", drop=True)
    return ratio.transpose("num_actions", "success_prob", "k")


def draw(dataset: xr.Dataset) -> Drawing:
    """One map per number of arms, with the line where both variances are equal."""
    config = stored_config(dataset)
    num_panels = dataset.sizes["num_actions"]
    figure, axes = style.grid_of_panels(1, num_panels, panel_height=2.2, sharey=True)
    share = dataset.k.values / config.group_size
    farthest = int(np.log2(LARGEST_FACTOR))
    colors = ScalarMappable(Normalize(-farthest, farthest), "PuOr")
    for ax, (n, ratio) in zip(axes[0], _ratio(dataset).groupby("num_actions"), strict=True):
        logs = np.log2(ratio.squeeze("num_actions").values)
        probs = dataset.success_prob.values
        ax.pcolormesh(
            share,
            probs,
            logs,
            norm=colors.norm,
            cmap=colors.cmap,
            shading="nearest",
            rasterized=True,
        )
        if logs.min() < 0 < logs.max():
            ax.contour(share, probs, logs, levels=[0.0], colors="black", linewidths=1.2)
        ax.grid(visible=False)
        style.panel_title(ax, f"$n = {n}$, $B = {config.group_size}$")
        ax.set_xlabel("$K / B$")
    axes[0, 0].set_ylabel("success probability $p$")
    ticks = list(range(-farthest, farthest + 1))
    bar = figure.colorbar(colors, ax=axes[0].tolist(), ticks=ticks, extend="both")
    bar.ax.set_yticklabels([_factor(t) for t in ticks])
    bar.set_label("variance EI / MaxPO")
    return figure


def _factor(exponent: int) -> str:
    return f"{2**exponent:g}" if exponent >= 0 else f"1/{2**-exponent:g}"


def findings(dataset: xr.Dataset) -> list[Finding]:
    """Where each estimator wins, for every number of arms."""
    ratio = _ratio(dataset)
    found = []
    for n, of_n in ratio.groupby("num_actions"):
        where_maxpo = float((of_n > 1).mean())
        low, high = float(of_n.min()), float(of_n.max())
        found.append(
            Finding(
                "variance_map",
                f"maxpo_somewhere_n{n}",
                f"on {n} arms the leave-two-out baseline lowers the variance on more than half of "
                "the map",
                f"MaxPO is lower on {where_maxpo:.0%} of the (K, p) points; EI / MaxPO from "
                f"{low:.2f} to {high:.2f}",
                where_maxpo > 0.5,
            )
        )
    most_arms = ratio.isel(num_actions=-1).squeeze()
    thresholds = [_first_above_one(most_arms.sel(k=k)) for k in most_arms.k.values]
    rises = all(a <= b for a, b in itertools.pairwise(thresholds))
    found.append(
        Finding(
            "variance_map",
            "threshold_rises_with_k",
            f"on {int(ratio.num_actions[-1])} arms MaxPO wins above a success probability that "
            "does not fall as K grows",
            ", ".join(
                f"K = {k}: p > {p:g}" for k, p in zip(most_arms.k.values, thresholds, strict=True)
            ),
            rises,
        )
    )
    return found


def _first_above_one(of_k: xr.DataArray) -> float:
    """The largest p up to which EI is not worse; 0 where MaxPO always wins."""
    lower = of_k.success_prob.values[of_k.values <= 1]
    return float(lower.max()) if lower.size else 0.0


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    config = stored_config(dataset)
    return (
        f"When does the leave-two-out baseline help? Exact ratio of the total variances of EI and "
        f"MaxPO on Bernoulli bandits with n arms, of which half succeed (together with probability "
        f"p) and half fail, for groups of B = {config.group_size}. Purple: MaxPO has the lower "
        f"variance; orange: EI has; black line: equal. Colors end at a factor of "
        f"{LARGEST_FACTOR}. Every value is exact: the number of successes is enumerated."
    )
