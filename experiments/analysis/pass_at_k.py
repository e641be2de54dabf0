"""pass@k of many prompts after training with each estimator: the paper's Figures 2, 8 and 9."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from ml_collections import ConfigDict

from experiments.analysis import labels
from experiments.analysis.learning_curves import (
    at_the_edge,
    check_tuning,
    mean_with_interval,
    tune,
)
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding
from experiments.common.statistics import bootstrap_interval
from experiments.engine.figure import Figure

KS = np.array([1, 2, 4, 8, 16, 32, 64, 128, 256])
MOST_TRIES = int(KS[-1])
POLICY_LABELS = {"table": "table for each prompt", "shared": "shared low-rank policy"}
CLASSES = {
    "all prompts": (0.0, 1.0),
    "hard": (0.0, 1e-3),
    "medium": (1e-3, 3e-2),
    "easy": (3e-2, 1.0),
}
TITLES = {
    "all prompts": "all prompts",
    "hard": f"hard: $p \\leq {CLASSES['hard'][1]:g}$",
    "medium": f"medium: $p \\leq {CLASSES['medium'][1]:g}$",
    "easy": f"easy: $p > {CLASSES['easy'][0]:g}$",
}
SOLVABLE = 0.5  # pass@256 from which a prompt counts as solvable


LONG_NAMES = {
    "success_prob": "exact success probability of one try after training",
    "base_success_prob": "success probability of one try of the base policy",
    "learning_rate": "learning rate, tuned for pass@K after training",
}


def summarize(config: ConfigDict, grids: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Success probabilities [policy, estimator, seed, prompt] at the tuned learning rates."""
    of_policies = []
    for runs in grids.values():
        objective = pass_at(runs.success_prob, np.array([config.run.k])).isel(k=0, drop=True)
        tuned = tune(runs[["success_prob"]], objective.mean("prompt"), config.num_tuning_seeds)
        of_policies.append(tuned)
    dataset = xr.concat(of_policies, dim="policy", coords="minimal")
    dataset = dataset.transpose("policy", "estimator", "seed", "prompt").astype(np.float32)
    # All runs have the same prompts, so the first that is defined knows their base policy.
    base = next(iter(grids.values())).base_success_prob
    dataset["base_success_prob"] = base.max([dim for dim in base.dims if dim != "prompt"])
    return labels.label(dataset, LONG_NAMES)


def pass_at(success_prob: xr.DataArray, k: np.ndarray) -> xr.DataArray:
    """Exact pass@k [..., k] of success probabilities."""
    tries = xr.DataArray(k, dims="k", coords={"k": k})
    return 1 - (1 - success_prob.astype(np.float64)) ** tries


def of_class(dataset: xr.Dataset, name: str) -> xr.Dataset:
    """The prompts of one class of difficulty, by the success of the base policy."""
    low, high = CLASSES[name]
    base = dataset.base_success_prob
    return dataset.isel(prompt=np.flatnonzero((base > low) & (base <= high)))


def support_changes(dataset: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Numbers of prompts that became solvable, and unsolvable, within 256 tries."""
    before = pass_at(dataset.base_success_prob, KS[-1:]).isel(k=0) >= SOLVABLE
    after = pass_at(dataset.success_prob, KS[-1:]).isel(k=0) >= SOLVABLE
    return (after & ~before).sum("prompt"), (before & ~after).sum("prompt")


def draw(dataset: xr.Dataset) -> Drawing:
    """One row per policy: pass@k over all prompts and by class, and the change of support."""
    policies = dataset.policy.values
    figure, axes = style.grid_of_panels(
        len(policies), len(CLASSES) + 1, panel_width=1.85, panel_height=1.75, sharex="col"
    )
    for row, policy in enumerate(policies):
        of_policy = dataset.sel(policy=policy)
        for column, name in enumerate(CLASSES):
            _draw_class(axes[row, column], of_class(of_policy, name))
            if row == 0:
                style.panel_title(axes[row, column], TITLES[name])
        _draw_support(axes[row, -1], of_policy)
        axes[row, 0].set_ylabel(f"{POLICY_LABELS[str(policy)]}\npass@$k$")
    style.panel_title(axes[0, -1], f"solvable in {MOST_TRIES}")
    for ax in axes[-1, :-1]:
        ax.set_xlabel("$k$")
    axes[-1, -1].set_xlabel("prompts lost and gained")
    style.shared_legend(figure, axes[:, :-1])
    return figure


def _draw_class(ax: Axes, of_prompts: xr.Dataset) -> None:
    base = pass_at(of_prompts.base_success_prob, KS).mean("prompt")
    ax.plot(KS, base.values, color="black", ls=":", lw=1.6, label="base policy")
    for name in labels.defined(of_prompts.success_prob):
        values = pass_at(of_prompts.success_prob.sel(estimator=name), KS).mean("prompt")
        points = values.transpose("seed", "k").values
        interval = bootstrap_interval(points, axis=0, statistic=np.mean)
        style.curve_with_interval(
            ax,
            KS,
            points.mean(axis=0),
            interval.low,
            interval.high,
            str(name),
            markevery=2,
        )
    style.log_axis(ax, "x", base=2)
    ax.set_xticks([1, 4, 16, 64, 256])


def _draw_support(ax: Axes, of_policy: xr.Dataset) -> None:
    of_policy = of_policy.sel(estimator=labels.defined(of_policy.success_prob))
    gained, lost = support_changes(of_policy)
    for place, name in enumerate(of_policy.estimator.values):
        look = style.estimator_style(str(name))
        for counts, sign in ((gained, 1), (lost, -1)):
            values = sign * counts.sel(estimator=name).values.astype(np.float64)
            interval = bootstrap_interval(values, statistic=np.mean)
            ax.barh(place, values.mean(), color=look.color, height=0.7, alpha=0.75)
            ax.plot([interval.low, interval.high], [place, place], color="black", lw=1)
    ax.axvline(0, color="black", lw=0.6)
    ax.set_yticks(np.arange(of_policy.sizes["estimator"]), [])
    ax.invert_yaxis()


def findings(dataset: xr.Dataset) -> list[Finding]:
    """Who wins at few and at many tries, and what becomes of the support."""
    names = labels.defined(dataset.success_prob)
    found = [
        _above(dataset, other, k)
        for other in names
        for k in (1, MOST_TRIES)
        if "maxpo" in names and other != "maxpo"
    ]
    return found + [_widens(dataset, name) for name in names]


def _above(dataset: xr.Dataset, other: str, k: int) -> Finding:
    """Paired by seed, over all prompts."""
    values = pass_at(dataset.success_prob, np.array([k])).isel(k=0).mean("prompt")
    ours, theirs = values.sel(estimator="maxpo"), values.sel(estimator=other)
    measured, verdicts = [], []
    for policy in map(str, dataset.policy.values):
        a, b = (v.sel(policy=policy).values for v in (ours, theirs))
        gain = mean_with_interval(a - b)
        measured.append(f"{policy}: {a.mean():.3f} against {b.mean():.3f}, difference {gain}")
        verdicts.append(bootstrap_interval(a - b, statistic=np.mean).low > 0)
    return Finding(
        "pass_at_k",
        f"maxpo above {labels.short(other)} at k = {k}",
        f"MaxPO has a larger pass@{k} over all prompts than {style.plain_label(other)}, with "
        "either policy",
        "; ".join(measured),
        all(verdicts),
    )


def _widens(dataset: xr.Dataset, name: str) -> Finding:
    gained, lost = (counts.sel(estimator=name) for counts in support_changes(dataset))
    measured, verdicts = [], []
    for policy in map(str, dataset.policy.values):
        up, down = (counts.sel(policy=policy).values.astype(float) for counts in (gained, lost))
        measured.append(f"{policy}: {mean_with_interval(up)} won, {mean_with_interval(down)} lost")
        verdicts.append(bootstrap_interval(up - down, statistic=np.mean).low > 0)
    return Finding(
        "pass_at_k",
        f"{labels.short(name)} widens support",
        f"{style.plain_label(name)} makes more prompts solvable within {MOST_TRIES} tries than it "
        "makes unsolvable, with either policy",
        f"of {dataset.sizes['prompt']} prompts, {'; '.join(measured)}",
        all(verdicts),
    )


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    config = stored_config(dataset)
    run = config.run
    grids = {name: axes.learning_rate for name, axes in config.grid.items()}
    tuned = "; ".join(
        f"{POLICY_LABELS[policy]}: {', '.join(f'{rate:g}' for rate in grids[policy])}, "
        f"{at_the_edge(dataset.learning_rate.sel(policy=policy).values, grids[policy])} of "
        f"{dataset.sizes['estimator']} choices on its edge"
        for policy in map(str, dataset.policy.values)
    )
    return (
        f"pass@k on {run.num_prompts} prompts with {run.num_answers} answers of which one "
        f"is right, whose base success probability p runs from {run.hardest:g} to "
        f"{run.easiest:g}, after {run.num_updates} updates of plain gradient ascent with "
        f"B = {run.group_size} tries of every prompt and K = {run.k}. pass@k is exact, 1 - "
        f"(1-p)^k, from the policy's parameters. Rows: a softmax table for each prompt; one policy "
        f"of rank {run.rank} for all prompts. Curves: mean over {dataset.sizes['seed']} seeds; "
        "bands: 95% bootstrap intervals; dotted: base policy. Last column: prompts that became "
        f"solvable (right) and unsolvable (left) within {MOST_TRIES} tries, that is, whose "
        f"pass@{MOST_TRIES} rose above or fell below {SOLVABLE:g}; lines: 95% intervals. Learning "
        f"rates are chosen for the largest pass@{run.k} after training on "
        f"{config.num_tuning_seeds} other seeds, by the same grid for every estimator ({tuned})."
    )


FIGURE = Figure(
    name="pass_at_k",
    question="Does training for K tries widen what a policy can solve at all?",
    grids={"table": "contextual_training", "shared": "contextual_training"},
    summarize=summarize,
    draw=draw,
    findings=findings,
    caption=caption,
    check=check_tuning,
)
