"""Figure, claims and caption of the estimation error, from its stored data alone."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from scipy import stats

from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding
from experiments.common.statistics import bootstrap_interval

FAMILY_LABELS = {
    "gaussian": "Gaussian rewards",
    "bernoulli": "Bernoulli rewards",
    "exponential": "exponential rewards",
    "student_t": "Student $t_3$ rewards",
}
ASYMPTOTIC = 100  # the slope is fitted from this number of draws on
CONFIDENCE = 0.99


def draw(dataset: xr.Dataset) -> Drawing:
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


def findings(dataset: xr.Dataset) -> list[Finding]:
    """Slope or plateau of every estimator, predicted against measured, in every family."""
    found = []
    for name in dataset.estimator.values:
        of_name = dataset.sel(estimator=name)
        verdict = _slope if of_name.unbiased else _plateau
        curves = {
            str(family): of_name.sel(reward_family=family)
            for family in dataset.reward_family.values
            if not of_name.exact_bias.sel(reward_family=family).isnull()
        }
        verdicts = {family: verdict(curve) for family, curve in curves.items()}
        if verdicts:
            found.append(
                Finding(
                    "estimation_error",
                    str(name),
                    f"{style.plain_label(str(name))} is unbiased: its error falls as N^(-1/2)"
                    if of_name.unbiased
                    else f"{style.plain_label(str(name))} is biased: its error levels off at its "
                    "exact bias",
                    "; ".join(f"{family}: {text}" for family, (text, _) in verdicts.items()),
                    all(holds for _, holds in verdicts.values()),
                )
            )
    return found


def _slope(curve: xr.Dataset) -> tuple[str, bool]:
    """A line through each replicate's errors; replicates are independent, points are not."""
    late = curve.sel(num_draws=curve.num_draws >= ASYMPTOTIC)
    logs = np.log(late.error.transpose("num_draws", "replicate").values)
    slopes = np.polyfit(np.log(late.num_draws.values), logs, 1)[0]
    low, high = _interval(slopes)
    text = f"slope {slopes.mean():.3f}, 99% interval [{low:.3f}, {high:.3f}], predicted -0.5"
    return text, low <= -0.5 <= high


def _plateau(curve: xr.Dataset) -> tuple[str, bool]:
    """The mean square error is exactly bias^2 + variance / N at every N."""
    last = curve.isel(num_draws=-1)
    squares = last.error.values**2
    predicted = float(np.hypot(last.exact_bias, last.exact_deviation / last.num_draws**0.5))
    low, high = np.sqrt(np.maximum(_interval(squares), 0))
    text = (
        f"error {np.sqrt(squares.mean()):.4f} at N = {int(last.num_draws):,}, 99% interval "
        f"[{low:.4f}, {high:.4f}], predicted {predicted:.4f} (bias {float(last.exact_bias):.4f}, "
        f"cosine with the gradient {float(last.exact_cosine):.4f})"
    )
    return text, bool(low <= predicted <= high and last.exact_bias > 0)


def _interval(values: np.ndarray) -> tuple[float, float]:
    """Student's interval of a mean; two dozen claims at 95% would miss one by chance."""
    return stats.t.interval(CONFIDENCE, len(values) - 1, np.mean(values), stats.sem(values))


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
