"""Computes the chunks of a plan on workers: processes of this machine, or of a cluster, by Dask.

The store is the truth: workers compute and store as this process would, and Dask is told no
result. So a chunk may be computed twice without harm, and to go on needs nothing of Dask. A worker
that dies is replaced, and its chunk goes to another; a chunk that kills several workers is split
into its runs, so that the one at fault is found, recorded as failed, and costs no other.

Where nothing is asked for, chunks are computed in this process and Dask is not even imported.
"""

import collections
import dataclasses
import functools
import queue
import time
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.common.errors import UserError
from experiments.engine import execution, remote
from experiments.engine.execution import Outcome
from experiments.engine.plan import Chunk, Plan
from experiments.engine.store import Failed, StorageError, Store

if TYPE_CHECKING:
    from experiments.engine.open_cluster import Connection

SECONDS_BETWEEN_CHECKS = 1.0
SECONDS_UNTIL_ASKED_AGAIN = 0.5  # for a chunk that another process computes

Executor = Callable[[Plan, Store, Callable[[int], None]], Outcome]


def executor(
    workers: int = 0, cluster: str | None = None, options: Mapping[str, Any] | None = None
) -> Executor:
    """What computes a plan: `(plan, store, watch) -> Outcome`, as `execution.execute` does.

    Args:
      workers: number of workers; 0 without a cluster: this process alone.
      cluster: None for this machine; slurm, pbs, lsf, sge, htcondor, ssh, the address of a
        scheduler that runs already (tcp://host:8786), or a class (package.module.Class).
      options: what the cluster is made with, by name, such as {"queue": "gpu"}, as text or not.

    Raises:
      UserError: if a number or a name is wrong, or Dask is not installed. What only the cluster
        can tell is raised when there is something to compute, before anything is.
    """
    if workers < 0:
        raise UserError(f"--workers is {workers}; it must be 0 or more")
    if cluster is None and options:
        raise UserError(f"--cluster.{next(iter(options))} needs a --cluster, such as slurm")
    if cluster is None and workers == 0:
        return lambda plan, store, watch: execution.execute(plan, store, watch=watch)
    try:
        from experiments.engine import open_cluster
    except ImportError as error:
        flag = "--workers" if cluster is None else "--cluster"
        raise UserError(f'{flag} needs {error.name}: pip install ".[cluster]"') from error
    request = open_cluster.Request(cluster, workers, dict(options or {}))
    request.check()
    return functools.partial(_execute, request.opened)


def _execute(
    opened: Callable[..., Any], plan: Plan, store: Store, watch: Callable[[int], None]
) -> Outcome:
    store.remove_leftovers()
    waiting = [chunk for chunk in plan.chunks if execution.missing_points(chunk, store)]
    runs_of = execution.num_runs_of(plan)
    watch(sum(runs_of.values()) - sum(runs_of[chunk.group, chunk.members] for chunk in waiting))
    troubles: list[str] = []
    if waiting:
        with opened(len(waiting), store.folder) as connection:
            work = _Work(connection, store, lambda c: watch(runs_of[c.group, c.members]))
            try:
                work.compute(waiting)
            except StorageError as error:
                connection.abandon()
                troubles.append(str(error))
            except BaseException:
                connection.abandon()
                raise
    return execution.outcome(plan, store, troubles)


class _Task(NamedTuple):
    """A chunk, or one run of it, that a worker is to compute.

    Attributes:
      chunk: what is sent.
      planned: the chunk of the plan that it belongs to.
      is_alone: whether it is one run.
    """

    chunk: Chunk
    planned: Chunk
    is_alone: bool


class _Submitted(NamedTuple):
    """A task that Dask has; it would forget one whose future nobody holds."""

    task: _Task
    future: Any


class _Work:
    """The tasks that workers have, until all are done."""

    def __init__(
        self, connection: "Connection", store: Store, settled: Callable[[Chunk], None]
    ) -> None:
        self._connection = connection
        self._store = store
        self._settled = settled
        self._compute = remote.compute_like_here(connection.gpus)
        self._answered: queue.SimpleQueue[Any] = queue.SimpleQueue()  # futures
        self._tasks: dict[str, _Submitted] = {}
        self._elsewhere: list[tuple[float, _Task]] = []
        self._num_open: collections.Counter[tuple[str, tuple[str, ...]]] = collections.Counter()

    def compute(self, chunks: list[Chunk]) -> None:
        """Compute chunks on the workers.

        Raises:
          StorageError: if a result cannot be written.
          UserError: if the workers cannot work.
        """
        for chunk in chunks:
            self._open(_Task(chunk, chunk, is_alone=False))
        next_check = 0.0
        while self._tasks or self._elsewhere:
            try:
                future = self._answered.get(timeout=SECONDS_UNTIL_ASKED_AGAIN)
                self._take(future, self._tasks.pop(future.key).task)
            except queue.Empty:
                pass
            self._ask_elsewhere_again()
            if time.monotonic() > next_check:
                self._connection.check()
                next_check = time.monotonic() + SECONDS_BETWEEN_CHECKS

    def _open(self, task: _Task) -> None:
        self._num_open[task.planned.group, task.planned.members] += 1
        self._submit(task)

    def _close(self, task: _Task) -> None:
        place = task.planned.group, task.planned.members
        self._num_open[place] -= 1
        if not self._num_open[place]:
            self._settled(task.planned)

    def _submit(self, task: _Task) -> None:
        key = f"chunk-{uuid.uuid4().hex}"
        content = remote.packed(task.chunk, self._store.folder)
        future = self._connection.client.submit(self._compute, content, key=key, pure=False)
        self._tasks[key] = _Submitted(task, future)
        future.add_done_callback(self._answered.put)

    def _take(self, future: Any, task: _Task) -> None:
        """The store says whether a task is done; its result is not asked for, for a worker has it.

        The worker may have died since; the file that it wrote is there.
        """
        if future.cancelled():
            raise UserError("the scheduler was lost; the same command goes on")
        error = (
            future.exception(timeout=SECONDS_BETWEEN_CHECKS) if future.status == "error" else None
        )
        if error is not None and type(error).__name__ == "KilledWorker":
            self._after_kills(task, error.allowed_failures + 1)
            self._close(task)
        elif isinstance(error, ConnectionError):
            raise UserError(str(error)) from error
        elif error is not None:
            raise error
        elif execution.missing_points(task.chunk, self._store):
            self._elsewhere.append((time.monotonic() + SECONDS_UNTIL_ASKED_AGAIN, task))
        else:
            self._close(task)

    def _ask_elsewhere_again(self) -> None:
        now = time.monotonic()
        due = [task for when, task in self._elsewhere if when <= now]
        self._elsewhere = [(when, task) for when, task in self._elsewhere if when > now]
        for task in due:
            self._submit(task)

    def _after_kills(self, task: _Task, num_kills: int) -> None:
        """Split a chunk that killed its workers into its runs; record a run that did."""
        known = self._store.load(task.chunk.measurement, task.chunk.group).known
        alone = [
            (member, seed)
            for member in task.chunk.members
            for seed in dict.fromkeys(task.chunk.seeds)
            if (member, seed) not in known
        ]
        if task.is_alone:
            for member, seed in alone:
                text = f"killed its worker {num_kills} times (a signal, or out of memory)"
                failed = Failed((member,), (seed,), f"KilledWorker: {text}", text)
                self._store.save_failure(task.chunk.measurement, task.chunk.group, failed)
            return
        for member, seed in alone:
            self._open(_Task(_of_one_run(task.chunk, member, seed), task.planned, is_alone=True))


def _of_one_run(chunk: Chunk, member: str, seed: int) -> Chunk:
    """One run, its seed among copies of itself: the same program, the same bits."""
    copies = (seed,) * len(chunk.seeds)
    return dataclasses.replace(chunk.with_members([member]), seeds=copies)
