"""Figure, claims and caption of the estimation error, from its stored data alone."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from experiments import style
from experiments.claims import Claim
from experiments.configuration import stored_config
from experiments.statistics import bootstrap_interval

FAMILY_LABELS = {
    "gaussian": "Gaussian rewards",
    "bernoulli": "Bernoulli rewards",
    "exponential": "exponential rewards",
    "student_t": "Student $t_3$ rewards",
}
ASYMPTOTIC = 100  # the slope is fitted from this number of draws on
CONFIDENCE = 0.99


def draw(dataset: xr.Dataset) -> Figure:
    """One panel per reward family."""
    figure, axes = style.grid_of_panels(
        1, dataset.sizes["reward_family"], panel_width=3.3, panel_height=2.5, sharey=True
    )
    for ax, family in zip(axes[0], dataset.reward_family.values, strict=True):
        _draw_family(ax, dataset.sel(reward_family=family))
        style.panel_title(ax, FAMILY_LABELS[str(family)])
        ax.set_xlabel("number of gradient estimates $N$")
    axes[0, 0].set_ylabel(r"$\|\bar g_N - \nabla J_K\| \, / \, \|\nabla J_K\|$")
    style.shared_legend(figure)
    return figure


def _draw_family(ax: Axes, of_family: xr.Dataset) -> None:
    x = of_family.num_draws.values
    for name in of_family.estimator.values:
        of_name = of_family.sel(estimator=name)
        if of_name.exact_bias.isnull():
            continue
        errors = of_name.error.transpose("replicate", ...).values
        interval = bootstrap_interval(errors, axis=0, statistic=np.mean)
        curve = style.curve_with_interval(
            ax, x, errors.mean(axis=0), interval.low, interval.high, str(name), markevery=3
        )
        if not of_name.unbiased:
            ax.axhline(float(of_name.exact_bias), color=curve.get_color(), ls="--", lw=0.8)
    style.log_axis(ax, "x")
    style.log_axis(ax, "y")


def claims(dataset: xr.Dataset) -> list[Claim]:
    """Slope or plateau of every estimator and family, predicted against measured."""
    found = []
    for name in dataset.estimator.values:
        for family in dataset.reward_family.values:
            of_curve = dataset.sel(estimator=name, reward_family=family)
            if not of_curve.exact_bias.isnull():
                claim = _slope if of_curve.unbiased else _plateau
                found.append(claim(str(name), str(family), of_curve))
    return found


def _slope(name: str, family: str, of_curve: xr.Dataset) -> Claim:
    """A line through each replicate's errors; replicates are independent, points are not."""
    late = of_curve.sel(num_draws=of_curve.num_draws >= ASYMPTOTIC)
    logs = np.log(late.error.transpose("num_draws", "replicate").values)
    slopes = np.polyfit(np.log(late.num_draws.values), logs, 1)[0]
    low, high = _interval(slopes)
    return Claim(
        "estimation_error",
        f"{name} {family}",
        f"{_label(name)}, {family} rewards: unbiased, so the error falls as N^(-1/2)",
        f"slope {slopes.mean():.3f}, 99% interval [{low:.3f}, {high:.3f}]; predicted -0.5",
        low <= -0.5 <= high,
    )


def _plateau(name: str, family: str, of_curve: xr.Dataset) -> Claim:
    """The mean square error is exactly bias^2 + variance / N at every N."""
    last = of_curve.isel(num_draws=-1)
    squares = last.error.values**2
    predicted = float(np.hypot(last.exact_bias, last.exact_deviation / last.num_draws**0.5))
    low, high = np.sqrt(np.maximum(_interval(squares), 0))
    return Claim(
        "estimation_error",
        f"{name} {family}",
        f"{_label(name)}, {family} rewards: biased, so the error levels off at the exact bias",
        f"{np.sqrt(squares.mean()):.4f} at N = {int(last.num_draws):,}, 99% interval [{low:.4f}, "
        f"{high:.4f}]; predicted {predicted:.4f}, of which bias {float(last.exact_bias):.4f}; "
        f"cosine of the mean with the gradient {float(last.exact_cosine):.4f}",
        bool(low <= predicted <= high and last.exact_bias > 0),
    )


def _interval(values: np.ndarray) -> tuple[float, float]:
    """Student's interval of a mean; two dozen claims at 95% would miss one by chance."""
    return stats.t.interval(CONFIDENCE, len(values) - 1, np.mean(values), stats.sem(values))


def _label(name: str) -> str:
    return style.estimator_style(name).label.replace("$", "")


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    config = stored_config(dataset)
    return (
        "Relative distance of the mean of N gradient estimates from the exact gradient of J_K, on "
        f"softmax bandits with n = {config.num_actions} arms and random logits, B = "
        f"{config.group_size}, K = {config.k}. Curves: mean over {config.num_replicates} "
        "independent sequences of draws, which the estimators share; bands: 95% bootstrap "
        "intervals. Dashed: the exact bias of each biased estimator, by enumeration of all "
        "outcomes. RLOO is unbiased for J_1 and is measured here against J_K, like all others. "
        "GRPO, z-scored MaxPO and Pass@k Training divide by a deviation, so that their estimates "
        "are also of another length than the gradient."
    )
