"""The driver: what is pending goes to a launcher, again and again, until nothing is pending.

What a launcher says about its workers is a hint; what is in the store is the truth. A driver may
be killed at any moment, and several may work on one store at once.
"""

import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from experiments.sweeps.plan import Plan, Run
from experiments.sweeps.store import Store
from experiments.sweeps.worker import Task, Work

MAX_DEATHS = 3  # of workers, with the same runs at hand
SECONDS_BETWEEN_LOOKS = 0.3


class Ending(NamedTuple):
    """How a worker ended.

    Attributes:
      trouble: what went wrong; "" if nothing did.
      is_final: whether to start no other worker, since the trouble would be the same.
    """

    trouble: str = ""
    is_final: bool = False


class Launcher(Protocol):
    """Starts one worker for each task, and returns when all of them have ended."""

    def __call__(self, tasks: Sequence[Task], watch: Callable[[], None]) -> list[Ending]:
        """Calls `watch` now and then; returns the ending of each worker, in order."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of the runs of a sweep.

    Attributes:
      finished: the runs whose results are in the store.
      failed: the runs that raised an error, which is in the store.
      remaining: the runs that are neither.
      troubles: what went wrong with workers, each thing once.
    """

    finished: list[Run]
    failed: list[Run]
    remaining: list[Run]
    troubles: list[str]

    def summary(self) -> str:
        """How many runs are finished, failed and remain."""
        total = len(self.finished) + len(self.failed) + len(self.remaining)
        counts = f"{len(self.finished)} of {total} runs are stored"
        failed = f", {len(self.failed)} failed" if self.failed else ""
        remaining = f", {len(self.remaining)} remain" if self.remaining else ""
        return counts + failed + remaining


def bring_up_to_date(
    plan: Plan,
    store: Store,
    launch: Launcher,
    num_workers: int,
    watch: Callable[[Sequence[Run]], None] = lambda pending: None,
) -> Outcome:
    """Compute every run of a plan that is neither finished nor failed.

    A run whose worker dies goes to the end of the queue, and is given up until the next call
    after `MAX_DEATHS` deaths; so a run that kills its worker costs no other run.

    Args:
      plan: the plan.
      store: the store.
      launch: the launcher.
      num_workers: how many workers it starts at once, at most.
      watch: told now and then which runs are pending.

    Returns:
      What became of the runs.
    """
    store.remove_leftovers()
    deaths = dict.fromkeys((run.key for run in plan.runs), 0)
    troubles: dict[str, None] = {}  # a set that keeps the order
    pending = pending_runs(store, plan.runs)
    while pending:
        queue = [run for run in pending if deaths[run.key] < MAX_DEATHS]
        if not queue:
            break
        queue.sort(key=lambda run: (deaths[run.key], run.group))
        if not any(_is_free(store, run) for run in queue):
            time.sleep(SECONDS_BETWEEN_LOOKS)  # another process computes them all
        else:
            shares = split(plan, queue, num_workers)
            tasks = [_task(plan, store, share) for share in shares]
            endings = launch(tasks, functools.partial(_tell, store, pending, watch))
            troubles |= dict.fromkeys(ending.trouble for ending in endings if ending.trouble)
            for share, ending in zip(shares, endings, strict=True):
                for run in _at_hand(plan, store, share) if ending.trouble else ():
                    deaths[run.key] += 1
            if any(ending.is_final for ending in endings):
                break
        pending = pending_runs(store, pending)
        watch(pending)
    return outcome(plan, store, list(troubles))


def outcome(plan: Plan, store: Store, troubles: Sequence[str] = ()) -> Outcome:
    """What the store says about the runs of a plan."""
    finished = [run for run in plan.runs if store.has(run.key)]
    failed = [run for run in plan.runs if store.has_failed(run.key)]
    known = {run.key for run in finished + failed}
    remaining = [run for run in plan.runs if run.key not in known]
    return Outcome(finished, failed, remaining, list(troubles))


def pending_runs(store: Store, runs: Sequence[Run]) -> list[Run]:
    """The runs that are neither finished nor failed."""
    pending = set(store.pending(run.key for run in runs))
    return [run for run in runs if run.key in pending]


def split(plan: Plan, runs: Sequence[Run], num_workers: int) -> list[list[Run]]:
    """Split runs into consecutive shares of equally many chunks, one for each worker."""
    parts = chunks(plan, runs)
    num_shares = min(num_workers, len(parts))
    bounds = [index * len(parts) // num_shares for index in range(num_shares + 1)]
    return [
        [run for chunk in parts[first:last] for run in chunk]
        for first, last in itertools.pairwise(bounds)
    ]


def chunks(plan: Plan, runs: Sequence[Run]) -> list[list[Run]]:
    """Consecutive runs that go through a compiled program together."""
    found: list[list[Run]] = []
    for run in runs:
        last = found[-1] if found else []
        if last and run.group == last[0].group and len(last) < plan.chunk_sizes[run.group]:
            last.append(run)
        else:
            found.append([run])
    return found


def _task(plan: Plan, store: Store, runs: Sequence[Run]) -> Task:
    work = [Work(run.key, run.config, run.group) for run in runs]
    return Task(plan.experiment, plan.code, str(store.folder), list(plan.chunk_sizes), work)


def _at_hand(plan: Plan, store: Store, share: Sequence[Run]) -> list[Run]:
    """The runs that the worker of a share had at hand when it died: its first pending chunk."""
    pending = pending_runs(store, share)
    same_group = [run for run in pending if run.group == pending[0].group]
    return same_group[: plan.chunk_sizes[pending[0].group]] if pending else []


def _is_free(store: Store, run: Run) -> bool:
    if not store.try_lock(run.key):
        return False
    store.unlock(run.key)
    return True


def _tell(store: Store, pending: Sequence[Run], watch: Callable[[Sequence[Run]], None]) -> None:
    watch(pending_runs(store, pending))
