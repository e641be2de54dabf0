r"""Adam's variance proxy and the true variance with one right answer and with many: Figure 3.

Theory, for a softmax over answers of which very many are wrong. With c ~ binomial(B, p) right
responses in a group, the advantages A+ of these and A- of the others, and the probability q that
two right responses are the same, the variance in squared lengths of a score is

    (K/B)^2 ((1 - q) E[c A+^2] + q Var(c A+ (1 - p) - (B - c) A- p) + E[(B - c) A-^2]).

With one right answer q is 1, and all right responses share their score; with many it is near 0, and
the scores of any two responses are orthogonal.
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from ml_collections import ConfigDict
from scipy import stats

from experiments.analysis import effects as comparisons
from experiments.analysis import labels, paper, token_runs
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Effect, Finding
from experiments.engine.figure import Figure
from maxpo_jax import estimators

NAME = "token_adam_variance"
TASKS = {"sort": "one right answer", "arrange": "many right answers"}
MEASURES = {"proxy": "Adam's proxy", "variance": "true variance", "theory": "theory"}
LONG_NAMES = {
    "proxy": "sum over parameters of v_hat - m_hat^2 of Adam's state",
    "variance": "trace of the covariance of the gradient estimate at a prompt, mean over prompts",
    "theory": "variance of the estimate that theory gives, in squared lengths of a score",
    "success_prob": "exact success probability of one try, mean over held-out prompts",
    "repeat_prob": "exact probability that two right responses are the same, mean over prompts",
}


def summarize(config: ConfigDict, grids: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Proxy, true variance and theory [task, estimator, base_seed, seed, window]."""
    of_tasks = [_of_task(config, grids[task]) for task in TASKS]
    dataset = xr.concat(of_tasks, dim="task").assign_coords(task=list(TASKS))
    dims = ("task", "estimator", *token_runs.REPLICATE, "window")
    return labels.label(dataset.transpose(*dims).astype(np.float32), LONG_NAMES)


def _of_task(config: ConfigDict, runs: xr.Dataset) -> xr.Dataset:
    runs = runs.isel(families=0, family=0, drop=True)
    # After the base policy, they are of the same moments as the variances.
    probs, repeats = (
        values.isel(update=slice(1, None)).rename(update="window").assign_coords(window=runs.window)
        for values in (runs.success_prob, runs.repeat_prob)
    )
    theory = [
        _theory(str(name), config.run, probs.sel(estimator=name), repeats.sel(estimator=name))
        for name in runs.estimator.values
    ]
    return xr.Dataset(
        {
            "proxy": runs.adam_variance,
            "variance": runs.gradient_variance,
            "theory": xr.concat(theory, dim="estimator").assign_coords(
                estimator=runs.estimator.values
            ),
            "success_prob": probs.mean("prompt", skipna=False),
            "repeat_prob": repeats.mean("prompt", skipna=False),
        }
    )


def _theory(name: str, run: ConfigDict, probs: xr.DataArray, repeats: xr.DataArray) -> xr.DataArray:
    """The variance that theory gives, mean over prompts; NaN for a function of the user."""
    if name not in estimators.names():
        return xr.full_like(probs.mean("prompt"), np.nan)
    variance = variance_in_theory(probs.values, repeats.values, name, run.group_size, run.k)
    return probs.copy(data=variance).mean("prompt")


def variance_in_theory(
    probs: np.ndarray, repeats: np.ndarray, name: str, group_size: int, k: int
) -> np.ndarray:
    """Variance of a group's estimate in squared lengths of a score; see the head of this file.

    Args:
      probs: p, success probabilities of one try, any shape.
      repeats: q, probabilities that two right responses are the same, of the same shape.
      name: a registered estimator, of no random draws.
      group_size: B.
      k: K.
    """
    count = np.arange(group_size + 1)
    right = np.arange(group_size) < count[:, None]
    advantages = estimators.get(name)(jnp.asarray(right.astype(np.float32)), k)
    of_right, of_wrong = np.asarray(advantages, np.float64)[:, [0, -1]].T
    of_right, of_wrong = np.where(count > 0, of_right, 0), np.where(count < group_size, of_wrong, 0)
    p, q = np.asarray(probs, np.float64)[..., None], np.asarray(repeats, np.float64)
    weight = stats.binom.pmf(count, group_size, p)

    def expected(values: np.ndarray) -> np.ndarray:
        return np.sum(weight * values, axis=-1)

    shared = count * of_right * (1 - p) - (group_size - count) * of_wrong * p
    variance_of_shared = expected(shared**2) - expected(shared) ** 2
    apart = (1 - q) * expected(count * of_right**2) + expected((group_size - count) * of_wrong**2)
    return (k / group_size) ** 2 * (apart + q * variance_of_shared)


def draw(dataset: xr.Dataset) -> Drawing:
    """One row a task: proxy, true variance, and MaxPO over EI by proxy, truth and theory."""
    figure, axes = style.grid_of_panels(
        len(TASKS), 3, panel_width=2.4, panel_height=1.9, sharex=True
    )
    for row, (task, about) in zip(axes, TASKS.items(), strict=True):
        of_task = dataset.sel(task=task)
        for ax, measure in zip(row, ("proxy", "variance"), strict=False):
            for name in labels.defined(of_task[measure]):
                values = of_task[measure].sel(estimator=name)
                token_runs.draw_mean(ax, dataset.window.values, values, name)
            if float(of_task[measure].max()) > 0:
                style.log_axis(ax, "y")
        _draw_ratios(row[2], of_task)
        row[0].set_ylabel(f"{task}\n{about}")
    titles = (
        r"proxy $\Sigma_j\, \hat v_j - \hat m_j^2$",
        r"true $\mathrm{tr}\,\mathrm{Cov}(g\,|\,$prompt$)$",
        "MaxPO / EI",
    )
    for ax, title in zip(axes[0], titles, strict=True):
        style.panel_title(ax, title)
    for ax in axes[-1]:
        ax.set_xlabel("updates")
    style.shared_legend(figure)
    return figure


def _draw_ratios(ax: Axes, of_task: xr.Dataset) -> None:
    if not {"maxpo", "ei"} <= set(labels.defined(of_task.proxy)):
        return
    colors = {"proxy": style.GRAY, "variance": style.BLACK, "theory": style.GREEN}
    for measure, color in colors.items():
        value, low, high = _ratio(of_task[measure])
        x, line = of_task.window.values, ":" if measure == "theory" else "-"
        ax.plot(x, value, color=color, ls=line, label=f"MaxPO / EI: {MEASURES[measure]}")
        ax.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
    ax.axhline(1, color=style.GRAY, lw=0.8, ls="--", zorder=1)
    if ax.dataLim.y1 > 0:
        style.log_axis(ax, "y", base=2)


def _ratio(
    values: xr.DataArray, other: str = "ei", num_effects: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """MaxPO's mean over another's, with the ends of its interval; runs stay paired."""
    above, below = (token_runs.replicates(values.sel(estimator=n)) for n in ("maxpo", other))

    def ratio(runs: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):  # where no response is ever right
            return above[runs].mean(axis=1) / below[runs].mean(axis=1)

    (value,) = ratio(np.arange(len(above))[None])
    return value, *comparisons.interval_of(ratio, len(above), num_effects)


def findings(dataset: xr.Dataset) -> list[Finding]:
    """Whose gradient varies less, by Adam's proxy and in truth, and whether theory says so."""
    names = labels.defined(dataset.proxy)
    if "maxpo" not in names:
        return []
    last = dataset.isel(window=-1)
    found: list[Finding | None] = []
    for rival in [name for name in ("ei", *labels.added(names)) if name in names]:
        statement = paper.ADAM if rival == "ei" else ""
        found += [
            _below(last, rival, "proxy", statement),
            _below(last, rival, "variance", paper.LOWER_VARIANCE if rival == "ei" else ""),
        ]
    found += [_as_theory_says(last)] if "ei" in names else []
    return [finding for finding in found if finding is not None]


def _tested(dataset: xr.Dataset) -> str:
    run = stored_config(dataset).run
    return f"token policies on sort and arrange, B = {run.group_size}, K = {run.k}"


def _below(last: xr.Dataset, rival: str, measure: str, statement: str) -> Finding | None:
    """None where no response was ever right, so that nothing varied."""
    effects = []
    for task, about in TASKS.items():
        of_task = last[measure].sel(task=task)
        value, low, high = map(float, _ratio(of_task, rival, num_effects=len(TASKS)))
        if not np.isfinite([value, low, high]).all():
            continue
        outcome = comparisons.is_positive(1 - high, 1 - low, comparisons.TIE)
        effects.append(Effect(f"on {task} ({about})", value, low, high, outcome))
    if not effects:
        return None
    label = style.plain_label(rival)
    what = {"proxy": "Adam's proxy is", "variance": "The true variance is"}[measure]
    return Finding(
        NAME,
        f"{measure} below {labels.short(rival)}",
        f"{what} lower for MaxPO than for {label} after training",
        effects,
        f"{MEASURES[measure]}, MaxPO over {label}",
        paper=statement,
        tested=_tested(last) if statement else "",
    )


def _as_theory_says(last: xr.Dataset) -> Finding | None:
    """None where nothing varied."""
    effects, told = [], []
    for task in TASKS:
        of_task = last.sel(task=task)
        value, low, high = map(float, _ratio(of_task.variance, num_effects=len(TASKS)))
        theory = float(_ratio(of_task.theory)[0])
        if not np.isfinite([value, low, high, theory]).all():
            continue
        above = theory > 1
        outcome = comparisons.is_positive(
            *((low - 1, high - 1) if above else (1 - high, 1 - low)), comparisons.TIE
        )
        effects.append(Effect(f"on {task}", value, low, high, outcome))
        p, q = float(of_task.success_prob.mean()), float(of_task.repeat_prob.mean())
        told.append(f"{value:.2g} for {theory:.2g} on {task}, p = {p:.2f} and q = {q:.2f}")
    if not effects:
        return None
    return Finding(
        NAME,
        "as theory says",
        "Theory says for which task MaxPO has the larger true variance",
        effects,
        "true variance, MaxPO over EI, on the same side of 1 as in theory",
        "; ".join(told),
    )


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    run = stored_config(dataset).run
    return (
        "Variance of the gradient while a token policy trains on sort, where one of 720 orders is "
        "right, and on arrange, where 360 are. Left: the sum over parameters of v_hat - m_hat^2 of "
        "Adam's state, which holds the variance between prompts, too. Middle: trace of the "
        f"covariance at a prompt, mean over prompts, from {run.variance_groups} further groups "
        "for the same prompts. Right: MaxPO over EI, by both and by the theory of a softmax over "
        "answers, from the exact probabilities p that a response is right, and q that two right "
        "ones are the same. "
        f"{token_runs.told_tasks(run)}, K = {run.k}. Curves: mean over "
        f"{token_runs.num_replicates(dataset)}; bands: 95% bootstrap intervals over these runs."
    )


def check(config: ConfigDict) -> None:
    """Refuse another optimizer than Adam, and a variance of one group."""
    token_runs.check_run(config)
    if config.run.get("optimizer", "adam") != "adam":
        raise ValueError(f"optimizer is {config.run.optimizer!r}; the proxy is Adam's: use 'adam'")
    if config.run.variance_groups < 2:
        raise ValueError("a true variance takes variance_groups of 2 or more")


FIGURE = Figure(
    name=NAME,
    question="Does Adam's state show a lower variance for MaxPO, and when?",
    grids={"sort": "token_training", "arrange": "token_training"},
    summarize=summarize,
    draw=draw,
    findings=findings,
    caption=caption,
    check=check,
)
