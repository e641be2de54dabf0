"""A worker: computes a share of the runs of a sweep and stores each, chunk by chunk.

    python -m experiments.sweeps.worker < TASK

A launcher starts it, on this machine or on another one that sees the same files. The first line
of standard input is the task; the end of standard input, which comes when the launcher dies, ends
the worker after the chunk at hand.
"""

import json
import select
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from experiments.sweeps import compilations, plan, sweepable
from experiments.sweeps.store import Result, StorageError, Store
from experiments.sweeps.sweepable import Sweepable

STORAGE_TROUBLE = 74  # exit status of a worker that cannot store; EX_IOERR of sysexits.h
CODE_CHANGED = 75
MEMORY_WORDS = ("RESOURCE_EXHAUSTED", "out of memory", "Out of memory")


class CodeChangedError(Exception):
    """The code is not the one that the sweep was planned with."""


class Work(NamedTuple):
    """A run as a worker sees it."""

    key: str
    config: dict[str, Any]
    group: int


class Task(NamedTuple):
    """A share of a sweep.

    Attributes:
      experiment: name or module of the experiment.
      code: hash of the code that the sweep was planned with.
      store: folder of the store.
      chunk_sizes: for each group, how many runs go through its program together.
      runs: the runs, in order.
    """

    experiment: str
    code: str
    store: str
    chunk_sizes: list[int]
    runs: list[Work]

    def to_json(self) -> str:
        """The task as one line of text."""
        return json.dumps(self._asdict())


def task_from_json(text: str) -> Task:
    """The task in a text; sequences inside a config come back as tuples."""
    fields = json.loads(text)
    runs = [Work(key, _tuples(config), group) for key, config, group in fields.pop("runs")]
    return Task(**fields, runs=runs)


def work(task: Task, go_on: Callable[[], bool] = lambda: True) -> None:
    """Compute every run of a task that is not finished, failed, or computed by another process.

    Args:
      task: the share of the sweep.
      go_on: asked before each chunk; the worker ends where it says no.

    Raises:
      StorageError: if a result cannot be written.
      CodeChangedError: if the code is not the one of the plan.
    """
    if plan.code_of(task.experiment) != task.code:
        raise CodeChangedError("the code changed since the sweep was planned: start it again")
    offered = sweepable.load(task.experiment)
    store = Store(Path(task.store))
    try:
        for chunk in _chunks(store, task, go_on):
            try:
                compute_chunk(store, offered, chunk, _num_together(task, chunk[0]))
            finally:
                for run in chunk:
                    store.unlock(run.key)
    finally:
        store.close()


def _chunks(store: Store, task: Task, go_on: Callable[[], bool]) -> Iterator[list[Work]]:
    """Chunks of runs that are pending, their locks held by this process."""
    chunk: list[Work] = []
    for run in task.runs:
        if chunk and (run.group != chunk[0].group or _is_full(chunk, task)):
            yield chunk
            chunk = []
        if not chunk and not go_on():
            return
        if store.pending([run.key]) and store.try_lock(run.key):
            if store.pending([run.key]):  # not finished between the question and the lock
                chunk.append(run)
            else:
                store.unlock(run.key)
    if chunk:
        yield chunk


def _is_full(chunk: Sequence[Work], task: Task) -> bool:
    return len(chunk) == _num_together(task, chunk[0])


def _num_together(task: Task, run: Work) -> int:
    """Runs that go through the program of a run together; each device has the same share."""
    num_devices = sys.modules["jax"].device_count() if "jax" in sys.modules else 1
    return task.chunk_sizes[run.group] * num_devices


def compute_chunk(
    store: Store, offered: Sweepable, chunk: Sequence[Work], chunk_size: int, writes: bool = True
) -> None:
    """Compute runs of one group together and store each, or the error of each that raises one.

    Where memory does not suffice, halves are tried (they may round differently); after another
    error each run is tried alone, so that the error is recorded with the run it belongs to.

    Args:
      store: the store.
      offered: what the experiment offers.
      chunk: the runs, one to `chunk_size` of them.
      chunk_size: number of runs of the compiled program; the chunk is padded to it.
      writes: False in all processes but one where several compute the same chunk together.
    """
    clock = compilations.Clock()
    start = time.perf_counter()
    try:
        arrays = _compute(offered, chunk, chunk_size)
    except Exception as error:
        if _is_about_memory(error) and chunk_size > 1:
            smaller = -(-chunk_size // 2)
            _compute_apart(store, offered, chunk, smaller, smaller, writes)
        elif len(chunk) > 1:
            _compute_apart(store, offered, chunk, chunk_size, 1, writes)
        elif writes:
            store.save_failure(chunk[0].key, _failure(chunk[0], error))
        return
    about = {
        "chunk_seconds": round(time.perf_counter() - start, 4),
        "chunk_runs": len(chunk),
        "compile_seconds": round(clock.seconds, 4),
    }
    for index, run in enumerate(chunk) if writes else ():
        one = {name: values[index] for name, values in arrays.items()}
        store.save(run.key, Result(one, about | {"config": run.config}))


def _compute_apart(
    store: Store,
    offered: Sweepable,
    chunk: Sequence[Work],
    chunk_size: int,
    num_runs: int,
    writes: bool,
) -> None:
    for first in range(0, len(chunk), num_runs):
        compute_chunk(store, offered, chunk[first : first + num_runs], chunk_size, writes)


def _compute(offered: Sweepable, chunk: Sequence[Work], chunk_size: int) -> dict[str, np.ndarray]:
    """Results [chunk_size, ...] of the runs, the last run repeated to fill the chunk."""
    padded = [*chunk, *[chunk[-1]] * (chunk_size - len(chunk))]
    traced = {name: _column([run.config[name] for run in padded]) for name in offered.traced}
    config = ConfigDict(chunk[0].config).lock()
    results = offered.compute(config, _on_devices(traced))
    arrays = {name: _on_host(values) for name, values in results.items()}
    _check_results(offered, arrays, chunk_size)
    return arrays


def _column(values: Sequence[Any]) -> np.ndarray:
    kinds = {bool: np.bool_, int: np.int32, float: np.float32}
    return np.array(values, dtype=kinds[type(values[0])])


def _on_devices(traced: dict[str, np.ndarray]) -> dict[str, Any]:
    if "jax" not in sys.modules:
        return dict(traced)
    from maxpo_jax import sharding

    return {name: sharding.split_over_devices(values) for name, values in traced.items()}


def _on_host(values: Any) -> np.ndarray:
    if "jax" not in sys.modules:
        return np.asarray(values)
    from maxpo_jax import sharding

    return sharding.to_host(values)


def _check_results(offered: Sweepable, arrays: dict[str, np.ndarray], num_runs: int) -> None:
    if set(arrays) != set(offered.metrics):
        raise ValueError(
            f"compute returned {', '.join(sorted(arrays))}; "
            f"SWEEP.metrics promises {', '.join(sorted(offered.metrics))}"
        )
    for name, metric in offered.metrics.items():
        shape = arrays[name].shape
        if len(shape) != 1 + len(metric.dims) or shape[0] != num_runs:
            expected = ", ".join([str(num_runs), *metric.dims])
            raise ValueError(f"metric {name} has the shape {shape}; expected is [{expected}]")


def _is_about_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(word in str(error) for word in MEMORY_WORDS)


def _failure(run: Work, error: Exception) -> dict[str, Any]:
    first_line = (str(error).strip() or "no message").splitlines()[0]
    return {
        "error": f"{type(error).__name__}: {first_line}",
        "traceback": "".join(traceback.format_exception(error)),
        "config": run.config,
    }


def _tuples(config: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in config.items()}


def _launcher_lives() -> bool:
    readable, _, _ = select.select([sys.stdin.fileno()], [], [], 0)
    return not readable


def main() -> int:
    """Do the task on standard input; returns the exit status."""
    line = sys.stdin.readline()
    if not line.endswith("\n"):
        return 0  # the launcher died
    try:
        work(task_from_json(line), _launcher_lives)
    except StorageError as error:
        print(f"worker: {error}", file=sys.stderr)
        return STORAGE_TROUBLE
    except CodeChangedError as error:
        print(f"worker: {error}", file=sys.stderr)
        return CODE_CHANGED
    return 0


if __name__ == "__main__":
    sys.exit(main())
