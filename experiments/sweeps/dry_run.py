"""What a sweep would do: its runs, how they are grouped, and how long it would take."""

import math

from experiments.sweeps.driver import split
from experiments.sweeps.plan import Plan, Run, describe
from experiments.sweeps.store import Store

MAX_RUNS_SHOWN = 40


def describe_plan(plan: Plan, store: Store, num_workers: int) -> str:
    """The runs of a sweep, their groups, and the time that is left, as lines of text."""
    pending = {run.key for run in plan.runs if not store.has(run.key)}
    shown = plan.runs[:MAX_RUNS_SHOWN]
    lines = [
        f"  {run.key[:8]} program {run.group + 1}: {describe(run.setting)}"
        f"{'' if run.key in pending else ' (stored)'}"
        for run in shown
    ]
    if len(plan.runs) > len(shown):
        lines.append(f"  ... and {len(plan.runs) - len(shown)} more")
    waiting = [run for run in plan.runs if run.key in pending]
    return "\n".join(
        [*_groups(plan, waiting), *lines, _estimate(plan, store, waiting, num_workers)]
    )


def _groups(plan: Plan, waiting: list[Run]) -> list[str]:
    axes = " x ".join(f"{len(axis.settings)} {axis.name}" for axis in plan.axes)
    stored = len(plan.runs) - len(waiting)
    lines = [f"{plan.experiment}: {axes or 1} = {len(plan.runs)} runs, {stored} of them stored"]
    for group, size in enumerate(plan.chunk_sizes):
        runs = [run for run in plan.runs if run.group == group]
        chunks = plan.num_chunks([run for run in waiting if run.group == group])
        lines.append(
            f"program {group + 1}: {len(runs)} runs, {chunks} chunks of up to {size} to compute"
        )
    return lines


def _estimate(plan: Plan, store: Store, waiting: list[Run], num_workers: int) -> str:
    """The time that is left, from the first stored run of the sweep."""
    if not waiting:
        return "estimated time: none, every run is stored"
    measured = next((r for r in (store.load(run.key) for run in plan.runs) if r is not None), None)
    if measured is None:
        return "estimated time: unknown, no run could be computed"
    compiling = measured.about["compile_seconds"]
    running = max(measured.about["chunk_seconds"] - compiling, 0)
    shares = split(plan, waiting, num_workers)
    longest = max(
        running * plan.num_chunks(share) + compiling * len({run.group for run in share})
        for share in shares
    )
    return (
        f"estimated time: {_duration(longest)} with {len(shares)} workers "
        f"({running:.2g} s per chunk and {compiling:.2g} s per program, from the first run)"
    )


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
