"""Adam's own variance proxy during training, and the true variance: the paper's Figure 3."""

import itertools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.figure import Figure as Drawing
from ml_collections import ConfigDict

from experiments.analysis import labels
from experiments.analysis.learning_curves import INSTANCE_LABELS, at_the_edge, check_tuning, tune
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding
from experiments.common.statistics import bootstrap_interval
from experiments.engine.figure import Figure

NUM_RESAMPLES = 2000
LONG_NAMES = {
    "proxy": "sum over parameters of v_hat - m_hat^2 of Adam's state",
    "true_variance": "trace of the covariance of the gradient estimate at the same parameters",
    "learning_rate": "learning rate, tuned for J_K after training",
}


def summarize(config: ConfigDict, grids: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Proxy and true variance [estimator, seed, update] at the tuned learning rates."""
    runs = grids["training"]
    curves = runs[["adam_proxy", "gradient_variance"]].isel(update=slice(1, None))
    tuned = tune(curves, runs.max_at_k.isel(update=-1), config.num_tuning_seeds)
    tuned = tuned.rename(adam_proxy="proxy", gradient_variance="true_variance")
    tuned = tuned.transpose("estimator", "seed", "update").astype(np.float32)
    return labels.label(tuned, LONG_NAMES)


class _Ratio(NamedTuple):
    """Ratio of the mean proxy to the mean true variance over seeds, with its 95% interval."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def ratio_of_means(of_estimator: xr.Dataset) -> _Ratio:
    """The ratio at every record; the mean of sampled variances is unbiased, their median is not.

    Seeds are resampled, so that proxy and true variance of a run stay paired.
    """
    proxy, true = (
        of_estimator[name].transpose("seed", "update").values for name in ("proxy", "true_variance")
    )
    num_seeds = len(proxy)
    rows = np.random.default_rng(0).integers(num_seeds, size=(NUM_RESAMPLES, num_seeds))
    resampled = proxy[rows].mean(axis=1) / true[rows].mean(axis=1)
    low, high = np.percentile(resampled, [2.5, 97.5], axis=0)
    return _Ratio(proxy.mean(axis=0) / true.mean(axis=0), low, high)


def draw(dataset: xr.Dataset) -> Drawing:
    """Proxy, true variance, and their ratio, against updates."""
    figure, axes = style.grid_of_panels(1, 3, panel_width=2.4, panel_height=2.1, sharex=True)
    axes[0, 1].sharey(axes[0, 0])
    updates = dataset["update"].values
    for name in labels.defined(dataset.proxy):
        of_estimator = dataset.sel(estimator=name)
        for ax, measure in zip(axes[0], ("proxy", "true_variance"), strict=False):
            values = of_estimator[measure].transpose("seed", "update").values
            interval = bootstrap_interval(values, axis=0, statistic=np.mean)
            mean = values.mean(axis=0)
            style.curve_with_interval(
                ax, updates, mean, interval.low, interval.high, name, markevery=4
            )
        style.curve_with_interval(
            axes[0, 2], updates, *ratio_of_means(of_estimator), name, markevery=4
        )
    titles = (
        r"proxy $\Sigma_j\, \hat v_j - \hat m_j^2$",
        r"true $\mathrm{tr}\,\mathrm{Cov}(g)$",
        "proxy / true",
    )
    for ax, title in zip(axes[0], titles, strict=True):
        style.panel_title(ax, title)
        ax.set_xlabel("updates")
    for ax in axes[0, :2]:
        style.log_axis(ax, "y")
    axes[0, 2].axhline(1, color=style.GRAY, lw=0.8, ls="--", zorder=1)
    axes[0, 2].set_ylim(bottom=0)
    style.shared_legend(figure)
    return figure


def findings(dataset: xr.Dataset) -> list[Finding]:
    """How far the proxy is off at the end, and whether it ranks the estimators."""
    found = []
    dataset = dataset.sel(estimator=labels.defined(dataset.proxy))
    for name in labels.estimators(dataset):
        ratio, low, high = (ends[-1] for ends in ratio_of_means(dataset.sel(estimator=name)))
        found.append(
            Finding(
                "adam_variance",
                f"{labels.short(name)} within a factor of 1.5",
                f"{style.plain_label(name)}: the mean proxy is within a factor of 1.5 of the mean "
                "true variance after training",
                f"ratio {ratio:.3f}, 95% interval [{low:.3f}, {high:.3f}]",
                bool(low > 1 / 1.5 and high < 1.5),
            )
        )
    if dataset.sizes["estimator"] > 1:
        found.append(_ranks(dataset))
    return found


def _ranks(dataset: xr.Dataset) -> Finding:
    """Pairs of estimators whose means the proxy puts in the true order, at every record."""
    proxy, true = dataset.proxy.mean("seed"), dataset.true_variance.mean("seed")
    agree = [
        (proxy.sel(estimator=a) > proxy.sel(estimator=b))
        == (true.sel(estimator=a) > true.sel(estimator=b))
        for a, b in itertools.combinations(dataset.estimator.values, 2)
    ]
    share = np.array(agree).mean(axis=0)
    return Finding(
        "adam_variance",
        "ranks_estimators",
        "the proxy ranks every pair of estimators as the true variance does, after training",
        f"{share[-1]:.0%} of the pairs after training, {share.min():.0%} to {share.max():.0%} "
        "along the way (means over seeds)",
        bool(share[-1] == 1),
    )


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    config = stored_config(dataset)
    run, rates = config.run, config.grid.training.learning_rate
    grid = ", ".join(f"{rate:g}" for rate in rates)
    num_edge = at_the_edge(dataset.learning_rate.values, rates)
    return (
        "Adam's own moments as a measure of the variance of the gradient, while each estimator "
        f"trains on the {INSTANCE_LABELS[run.instance]} bandit with n = {run.num_actions} "
        f"arms, B = {run.group_size}, K = {run.k}. Left: sum over the logits of v_hat - "
        "m_hat^2, bias-corrected, from the state of the optimizer (decays 0.9 and 0.999). Middle: "
        f"trace of the covariance from {run.variance_groups} further gradient draws at the same "
        "parameters. Right: their ratio; at constant moments its expectation would be 18/19. "
        f"Curves: mean over {dataset.sizes['seed']} seeds; bands: 95% bootstrap intervals. The "
        f"learning rate of every estimator is chosen by the same grid ({grid}) for the largest "
        f"J_K after training on {config.num_tuning_seeds} other seeds; {num_edge} choices lie on "
        "the edge of the grid. Every estimator is measured along its own path."
    )


def check(config: ConfigDict) -> None:
    """Refuse another optimizer than Adam, and what cannot be tuned."""
    check_tuning(config)
    if config.run.optimizer != "adam":
        raise ValueError(f"optimizer is {config.run.optimizer!r}; the proxy is Adam's: use 'adam'")
    if config.run.variance_groups < 2:
        raise ValueError("a true variance takes variance_groups of 2 or more")


FIGURE = Figure(
    name="adam_variance",
    question="Does Adam's state tell the variance of the gradient?",
    grids={"training": "bandit_training"},
    summarize=summarize,
    draw=draw,
    findings=findings,
    caption=caption,
    check=check,
)
