"""Which prompts token policies can solve before and after training: the paper's Figure 9."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from ml_collections import ConfigDict

from experiments.analysis import effects as comparisons
from experiments.analysis import labels, paper, token_runs
from experiments.analysis.token_runs import MANY_TRIES, SOLVABLE
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding
from experiments.common.statistics import bootstrap_interval
from experiments.engine.figure import Figure

NAME = "token_support"
CHANGES = {
    "kept": "solvable before and after",
    "lost": "solvable before alone",
    "gained": "solvable after alone",
    "out of reach": "solvable never",
}
LONG_NAMES = {"share": f"share of held-out prompts by whether pass@{MANY_TRIES} is above 1/2"}


def summarize(config: ConfigDict, grids: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Share of prompts [estimator, base_seed, seed, family, change]."""
    probs = grids["training"].success_prob
    solvable = token_runs.pass_at(probs, np.array([MANY_TRIES])).isel(k=0, drop=True) >= SOLVABLE
    before, after = solvable.isel(update=0, drop=True), solvable.isel(update=-1, drop=True)
    groups = [before & after, before & ~after, after & ~before, ~before & ~after]
    share = xr.concat([group.mean("prompt") for group in groups], dim="change")
    share = share.assign_coords(change=list(CHANGES))
    share = share.where(probs.isel(update=-1, drop=True).notnull().all("prompt"))
    dims = ("estimator", *token_runs.REPLICATE, "family", "change")
    dataset = xr.Dataset({"share": share.transpose(*dims).astype(np.float32)})
    return labels.label(dataset, LONG_NAMES)


def draw(dataset: xr.Dataset) -> Drawing:
    """One panel a change: its share of prompts over all tasks, and by family."""
    changes = ("lost", "gained", "out of reach")
    families = list(dataset.family.values)
    figure, axes = style.grid_of_panels(
        1, len(changes), panel_width=2.6, panel_height=2.2, sharey=False
    )
    for ax, change in zip(axes[0], changes, strict=True):
        of_change = dataset.share.sel(change=change)
        _draw_bars(ax, [of_change.mean("family"), *(of_change.sel(family=f) for f in families)])
        ax.set_xticks(
            np.arange(1 + len(families)), ["all", *map(str, families)], rotation=35, ha="right"
        )
        style.panel_title(ax, f"{change}: {CHANGES[change]}")
    axes[0, 0].set_ylabel("share of prompts")
    style.shared_legend(figure)
    return figure


def _draw_bars(ax: Axes, groups: list[xr.DataArray]) -> None:
    names = labels.defined(groups[0])
    width = 0.8 / len(names)
    for place, name in enumerate(names):
        look = style.estimator_style(name)
        for at, group in enumerate(groups):
            values = token_runs.replicates(group.sel(estimator=name))
            interval = bootstrap_interval(values, statistic=np.mean)
            x = at + (place - (len(names) - 1) / 2) * width
            label = look.label if at == 0 else None
            ax.bar(x, values.mean(), width, color=look.color, alpha=0.75, label=label)
            ax.plot([x, x], [interval.low, interval.high], color="black", lw=0.7)
    ax.set_ylim(bottom=0)


def findings(dataset: xr.Dataset) -> list[Finding]:
    """Who loses fewer prompts, and who gains more than it loses."""
    names = labels.defined(dataset.share)
    if "maxpo" not in names:
        return []
    rivals = [name for name in ("rloo", "grpo", "ei", *labels.added(names)) if name in names]
    found = [_loses_fewer(dataset, rivals)] if rivals else []
    widening = [name for name in ("maxpo", "rloo") if name in names]
    found += [_widens(dataset, name) for name in widening]
    return [*found, _gains_more(dataset, rivals)] if rivals else found


def _share(dataset: xr.Dataset, name: str, change: str) -> np.ndarray:
    """[replicates] share of all prompts."""
    of_name = dataset.share.sel(estimator=name, change=change)
    return token_runs.replicates(of_name.mean("family"))


def _tested(dataset: xr.Dataset) -> str:
    run = stored_config(dataset).run
    return f"{dataset.sizes['family']} families of tasks, B = {run.group_size}, K = {run.k}"


def _loses_fewer(dataset: xr.Dataset, rivals: list[str]) -> Finding:
    effects = [
        comparisons.difference(
            f"than {style.plain_label(rival)}",
            _share(dataset, rival, "lost"),
            _share(dataset, "maxpo", "lost"),
            num_effects=len(rivals),
        )
        for rival in rivals
    ]
    return Finding(
        NAME,
        "maxpo loses fewer prompts",
        f"MaxPO loses fewer prompts that were solvable within {MANY_TRIES} tries",
        effects,
        "share of prompts lost, the other's minus MaxPO's",
        paper=paper.SUPPORT,
        tested=_tested(dataset),
    )


def _gains_more(dataset: xr.Dataset, rivals: list[str]) -> Finding:
    effects = [
        comparisons.difference(
            f"than {style.plain_label(rival)}",
            _share(dataset, "maxpo", "gained"),
            _share(dataset, rival, "gained"),
            num_effects=len(rivals),
        )
        for rival in rivals
    ]
    return Finding(
        NAME,
        "maxpo gains more prompts",
        f"MaxPO makes more prompts solvable within {MANY_TRIES} tries",
        effects,
        "share of prompts gained, MaxPO's minus the other's",
    )


def _widens(dataset: xr.Dataset, name: str) -> Finding:
    label = style.plain_label(name)
    gained, lost = (_share(dataset, name, change) for change in ("gained", "lost"))
    return Finding(
        NAME,
        f"{labels.short(name)} widens support",
        f"{label} gains more prompts than it loses",
        [comparisons.difference("", gained, lost)],
        "share of prompts gained minus share lost",
        f"{gained.mean():.1%} gained, {lost.mean():.1%} lost",
    )


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    run = stored_config(dataset).run
    return (
        f"Held-out prompts ({run.num_test} of each of {dataset.sizes['family']} families) by "
        f"whether pass@{MANY_TRIES}, which is exact, is above {SOLVABLE:g} before and after "
        f"training. {token_runs.told_tasks(run)}, K = {run.k}. Bars: mean over "
        f"{token_runs.num_replicates(dataset)}; lines: 95% bootstrap intervals over these runs."
    )


FIGURE = Figure(
    name=NAME,
    question="Which prompts does training make solvable, and which does it lose?",
    grids={"training": "token_training"},
    summarize=summarize,
    draw=draw,
    findings=findings,
    caption=caption,
    check=token_runs.check_run,
)
