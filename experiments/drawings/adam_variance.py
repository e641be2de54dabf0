"""Figure, claims and caption of the variance proxy, from its stored data alone."""

import itertools

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from experiments import style
from experiments.claims import Claim
from experiments.configuration import stored_config
from experiments.drawings.learning_curves import INSTANCE_LABELS, at_the_edge
from experiments.statistics import bootstrap_interval


def draw(dataset: xr.Dataset) -> Figure:
    """Proxy, true variance, and their ratio, against updates."""
    figure, axes = style.grid_of_panels(1, 3, panel_width=2.4, panel_height=2.1, sharex=True)
    axes[0, 1].sharey(axes[0, 0])
    panels = {
        r"proxy $\sum_j \hat v_j - \hat m_j^2$": dataset.proxy,
        r"true $\mathrm{tr}\,\mathrm{Cov}(g)$": dataset.true_variance,
        "proxy / true": dataset.proxy / dataset.true_variance,
    }
    for ax, (title, values) in zip(axes[0], panels.items(), strict=True):
        _draw_panel(ax, values)
        style.panel_title(ax, title)
        ax.set_xlabel("updates")
    axes[0, 2].axhline(1, color=style.GREY, lw=0.8, ls="--", zorder=1)
    axes[0, 2].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    style.shared_legend(figure)
    return figure


def _draw_panel(ax: Axes, values: xr.DataArray) -> None:
    for name in values.estimator.values:
        points = values.sel(estimator=name).transpose("seed", ...).values
        interval = bootstrap_interval(points, axis=0)
        style.curve_with_interval(
            ax,
            values.update.values,
            np.median(points, axis=0),
            interval.low,
            interval.high,
            str(name),
            markevery=4,
        )
    style.log_axis(ax, "y")


def claims(dataset: xr.Dataset) -> list[Claim]:
    """How far the proxy is off at the end, and whether it ranks the estimators."""
    ratio = (dataset.proxy / dataset.true_variance).isel(update=-1)
    found = []
    for name in dataset.estimator.values:
        values = ratio.sel(estimator=name).values
        interval = bootstrap_interval(values)
        found.append(
            Claim(
                "adam_variance",
                f"{name} within a factor of two",
                f"{_label(str(name))}: the median proxy is within a factor of 2 of the true "
                "variance after training",
                f"median ratio {np.median(values):.3f}, 95% interval [{interval.low:.3f}, "
                f"{interval.high:.3f}]",
                bool(interval.low > 0.5 and interval.high < 2),
            )
        )
    if dataset.sizes["estimator"] > 1:
        found.append(_ranks(dataset))
    return found


def _ranks(dataset: xr.Dataset) -> Claim:
    """Pairs of estimators whose medians the proxy puts in the true order, at every record."""
    proxy, true = dataset.proxy.median("seed"), dataset.true_variance.median("seed")
    agree = [
        (proxy.sel(estimator=a) > proxy.sel(estimator=b))
        == (true.sel(estimator=a) > true.sel(estimator=b))
        for a, b in itertools.combinations(dataset.estimator.values, 2)
    ]
    share = np.array(agree).mean(axis=0)
    return Claim(
        "adam_variance",
        "ranks_estimators",
        "the proxy ranks every pair of estimators as the true variance does, after training",
        f"{share[-1]:.0%} of the pairs after training, {share.min():.0%} to {share.max():.0%} "
        "along the way (medians over seeds)",
        bool(share[-1] == 1),
    )


def _label(name: str) -> str:
    return style.estimator_style(name).label.replace("$", "")


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    config = stored_config(dataset)
    grid = ", ".join(f"{rate:g}" for rate in config.learning_rates)
    num_edge = at_the_edge(dataset.learning_rate.values, config.learning_rates)
    return (
        "Adam's own moments as a measure of the variance of the gradient, while each estimator "
        f"trains on the {INSTANCE_LABELS[config.instance]} bandit with n = {config.num_actions} "
        f"arms, B = {config.group_size}, K = {config.k}. Left: sum over the logits of v_hat - "
        "m_hat^2, bias-corrected, from the state of the optimiser (decays 0.9 and 0.999). Middle: "
        f"trace of the covariance from {config.num_draws} further gradient draws at the same "
        "parameters. Right: their ratio; at constant moments its expectation would be 18/19. "
        f"Curves: median over {config.num_seeds} seeds; bands: 95% bootstrap intervals. The "
        f"learning rate of every estimator is chosen by the same grid ({grid}) for the largest "
        f"J_K after training on {config.num_tuning_seeds} other seeds; {num_edge} choices lie on "
        "the edge of the grid. Every estimator is measured along its own path."
    )
