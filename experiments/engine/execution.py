"""Computes the chunks of a plan in this process; what is in the store is the truth.

A process may be killed at any moment, and several may work on one store at once.
"""

import collections
import contextlib
import dataclasses
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import FrozenConfigDict

from experiments.engine import code, compilations
from experiments.engine.measurement import Measurement, StoredRun, load
from experiments.engine.plan import Chunk, Plan, Run, make_plan
from experiments.engine.store import Failed, Group, Part, StorageError, Store

DEFAULT_THREADS = (
    2  # JAX computes outside of Python's lock, and leaves cores idle in small programs
)
SECONDS_BETWEEN_LOOKS = 0.2
MEMORY_WORDS = ("RESOURCE_EXHAUSTED", "out of memory", "Out of memory")


class CodeChangedError(Exception):
    """The code is not the one that the chunk was planned with."""


class Report(NamedTuple):
    """What became of a chunk.

    Attributes:
      is_done: whether each of its runs is stored or failed; if not, another process computes it.
      was_computed: whether this call computed anything.
    """

    is_done: bool
    was_computed: bool


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of the runs of a plan.

    Attributes:
      finished: the runs whose results are in the store.
      refused: the runs that make no sense.
      failed: the runs that raised an error, with the error.
      remaining: all others.
      troubles: what went wrong besides, each thing once.
    """

    finished: list[Run]
    refused: list[Run]
    failed: list[tuple[Run, Failed]]
    remaining: list[Run]
    troubles: list[str]

    def summary(self) -> str:
        """How many runs are finished, refused and failed, and how many remain."""
        others = {
            "make no sense": len(self.refused),
            "failed": len(self.failed),
            "remain": len(self.remaining),
        }
        total = len(self.finished) + sum(others.values())
        counts = [f"{len(self.finished)} of {total} runs are stored"]
        counts += [f"{number} {what}" for what, number in others.items() if number]
        return ", ".join(counts)


def execute(
    plan: Plan,
    store: Store,
    watch: Callable[[int], None] = lambda num_runs: None,
    *,
    threads: int | None = None,
) -> Outcome:
    """Compute every run of a plan that is neither stored nor failed.

    Args:
      plan: the plan.
      store: the store.
      watch: told after each chunk how many runs of the plan it settled.
      threads: chunks computed at once; by default one for each core, at most 2, but at least one
        for each device.

    Raises:
      CodeChangedError: if the code was edited since the plan was made.
    """
    store.remove_leftovers()
    waiting = [chunk for chunk in plan.chunks if missing_points(chunk, store)]
    queue = _Queue(waiting)
    runs_of = num_runs_of(plan)
    settled = sum(runs_of.values()) - sum(runs_of[chunk.group, chunk.members] for chunk in waiting)
    watch(settled)
    errors: list[BaseException] = []

    devices = _devices() if waiting else []

    def work(worker: int) -> None:
        while not errors and (chunk := queue.take()) is not None:
            try:
                with _on_device(devices, worker):
                    report = compute_chunk(chunk, store)
            except BaseException as error:
                errors.append(error)
                queue.stop()
                return
            queue.put_back(chunk, report)
            if report.is_done:
                watch(runs_of[chunk.group, chunk.members])

    num_threads = threads or max(default_threads(), len(devices))
    workers = [
        threading.Thread(target=work, args=(number,), daemon=True)
        for number in range(min(num_threads, len(waiting)))
    ]
    for worker in workers:
        worker.start()
    try:
        while any(worker.is_alive() for worker in workers):
            for worker in workers:
                worker.join(SECONDS_BETWEEN_LOOKS)
    finally:
        queue.stop()
    troubles = [str(error) for error in errors if isinstance(error, StorageError)]
    for error in errors:
        if not isinstance(error, StorageError):
            raise error
    return outcome(plan, store, troubles)


def outcome(plan: Plan, store: Store, troubles: Iterable[str] = ()) -> Outcome:
    """What the store says about the runs of a plan."""
    groups: dict[str, Group] = {}
    finished, refused, failed, remaining = [], [], [], []
    known: dict[str, set[tuple[str, int]]] = {}
    for run in plan.runs:
        if run.address is None:
            refused.append(run)
            continue
        group, place = run.address.group, (run.address.member, run.address.seed)
        if group not in groups:
            groups[group] = store.load(plan.name, group)
            known[group] = groups[group].finished
        if place in known[group]:
            finished.append(run)
        elif place in groups[group].failures:
            failed.append((run, groups[group].failures[place]))
        else:
            remaining.append(run)
    return Outcome(finished, refused, failed, remaining, list(dict.fromkeys(troubles)))


def default_threads() -> int:
    """Chunks that this process computes at once."""
    return min(DEFAULT_THREADS, os.cpu_count() or 1)


def num_runs_of(plan: Plan) -> Mapping[tuple[str, tuple[str, ...]], int]:
    """How many runs of a plan each of its chunks settles, by its group and members."""
    chunk_of = {(chunk.group, member): chunk for chunk in plan.chunks for member in chunk.members}
    addresses = [run.address for run in plan.runs if run.address is not None]
    chunks = [chunk_of[address.group, address.member] for address in addresses]
    return collections.Counter((chunk.group, chunk.members) for chunk in chunks)


def missing_points(chunk: Chunk, store: Store) -> list[str]:
    """The members of a chunk of which a seed is neither stored nor failed."""
    known = store.load(chunk.measurement, chunk.group).known
    return [
        member
        for member in chunk.members
        if not all((member, seed) in known for seed in chunk.seeds)
    ]


def forget(plan: Plan, store: Store, *, failures_only: bool) -> None:
    """Let the failed runs of a plan be computed again, or all of them."""
    for chunk in plan.chunks:
        if failures_only:
            store.forget_failures(chunk.measurement, chunk.group)
        else:
            store.remove(chunk.measurement, chunk.group, chunk.members)


def compute_chunk(chunk: Chunk, store: Store) -> Report:
    """Compute what of a chunk is neither stored nor failed, and store it.

    It may run in any process that sees the folder of the store.

    Args:
      chunk: the chunk.
      store: the store.

    Raises:
      StorageError: if a result cannot be written.
      CodeChangedError: if the code was edited since the chunk was planned.
    """
    _check_code(chunk)
    with store.locked(chunk.group) as has_lock:
        missing = missing_points(chunk, store)
        if not missing:
            return Report(is_done=True, was_computed=False)
        if not has_lock:
            return Report(is_done=False, was_computed=False)
        _compute_points(load(chunk.measurement), chunk.with_members(missing), store)
    return Report(is_done=True, was_computed=True)


def stored_outputs(start: StoredRun, store: Store) -> dict[str, np.ndarray]:
    """The outputs of a run that others start from, computed now if nobody has.

    Args:
      start: the run.
      store: the store.

    Raises:
      StorageError: if its result cannot be written.
      RuntimeError: if it fails.
    """
    plan = make_plan(start.measurement, base_fields=start.fields)
    run, chunk = plan.runs[0], plan.chunks[0]
    assert run.address is not None  # a plan of one run that makes no sense is refused
    _, member, seed = run.address
    with _one_at_a_time(chunk.group):
        store.forget_failures(plan.name, chunk.group)
        while (found := store.load(plan.name, chunk.group).result(member, seed)) is None:
            if not compute_chunk(chunk, store).is_done:
                time.sleep(SECONDS_BETWEEN_LOOKS)  # another process computes it
            failures = store.load(plan.name, chunk.group).failures
            if (member, seed) in failures:
                error = failures[member, seed].error
                raise RuntimeError(f"a run of {plan.name} to start from failed: {error}")
    return found


_starting: dict[str, threading.Lock] = {}


def _one_at_a_time(group: str) -> threading.Lock:
    """A lock for the threads of this process; the store's locks are for processes."""
    return _starting.setdefault(group, threading.Lock())


_code_when_loaded: dict[str, str] = {}


def _check_code(chunk: Chunk) -> None:
    """The code in the files, and that in the memory of this process, must be the plan's."""
    load(chunk.measurement)
    now = code.measurement_code(chunk.measurement)
    loaded = _code_when_loaded.setdefault(chunk.measurement, now)
    estimators = {code.estimator_code(spec) for spec in chunk.estimators}
    if {now, loaded} != {chunk.code} or estimators - {chunk.estimator_code}:
        raise CodeChangedError("the code was edited since the runs were planned: start again")


def _compute_points(measurement: Measurement, chunk: Chunk, store: Store) -> None:
    """All points at once; after an error each alone, so that it costs no other."""
    kept = [chunk.seeds.index(seed) for seed in dict.fromkeys(chunk.seeds)]
    try:
        _compute_and_save(measurement, chunk, store, kept)
    except StorageError:
        raise
    except Exception as error:
        if len(chunk.members) > 1:
            for member in chunk.members:
                _compute_points(measurement, chunk.with_members([member]), store)
        elif _is_about_memory(error):
            _compute_halves(measurement, chunk, store, error)
        else:
            _compute_seeds(measurement, chunk, store, error)


def _compute_seeds(measurement: Measurement, chunk: Chunk, store: Store, error: Exception) -> None:
    """Each seed alone, at its place among copies of itself: the same program, the same bits."""
    known = store.load(chunk.measurement, chunk.group).known
    seeds = dict.fromkeys(chunk.seeds)  # one seed alone stands among copies of itself already
    for index, seed in enumerate(seeds):
        if (chunk.members[0], seed) in known:
            continue
        if len(seeds) > 1:
            copies = dataclasses.replace(chunk, seeds=(seed,) * len(chunk.seeds))
            try:
                _compute_and_save(measurement, copies, store, [index])
                continue
            except StorageError:
                raise
            except Exception as of_seed:
                error = of_seed
        _save_failure(chunk, store, (seed,), error)


def _compute_halves(measurement: Measurement, chunk: Chunk, store: Store, error: Exception) -> None:
    """Halves of the seeds, as long as the memory does not suffice."""
    if len(chunk.seeds) == 1:
        _save_failure(chunk, store, chunk.seeds, error)
        return
    half = -(-len(chunk.seeds) // 2)
    for seeds in (chunk.seeds[:half], chunk.seeds[half:]):
        _compute_points(measurement, dataclasses.replace(chunk, seeds=seeds), store)


def _compute_and_save(
    measurement: Measurement, chunk: Chunk, store: Store, kept: Sequence[int]
) -> None:
    clock = compilations.Clock()
    start = time.perf_counter()
    arrays = _compute(measurement, chunk, store)
    about = {
        "fields": chunk.fields,
        "points": chunk.points,
        "seconds": round(time.perf_counter() - start, 4),
        "compile_seconds": round(clock.seconds, 4),
    }
    seeds = tuple(chunk.seeds[index] for index in kept)
    rows = {name: values[:, list(kept)] for name, values in arrays.items()}
    store.save(chunk.measurement, chunk.group, Part(chunk.members, seeds, rows, about))


def _compute(measurement: Measurement, chunk: Chunk, store: Store) -> dict[str, np.ndarray]:
    """Outputs [points, seeds, ...] of a chunk."""
    run = FrozenConfigDict(chunk.fields)
    arguments: list[Any] = [run, np.array(chunk.seeds, dtype=np.int32)]
    if measurement.together:
        arguments.append(chunk.points)
    if measurement.starts_from is not None:
        arguments.append(stored_outputs(measurement.starts_from(run), store))
    results = measurement.compute(*arguments)
    if not measurement.together:
        results = {name: np.asarray(values)[None] for name, values in results.items()}
    arrays = {name: np.asarray(values) for name, values in results.items()}
    _check(measurement, arrays, (len(chunk.points), len(chunk.seeds)))
    return arrays


def _devices() -> list[Any]:
    """The devices of this process, where JAX is loaded and there are several."""
    if "jax" not in sys.modules:
        return []
    devices = sys.modules["jax"].local_devices()
    return devices if len(devices) > 1 else []


def _on_device(devices: Sequence[Any], worker: int) -> contextlib.AbstractContextManager[Any]:
    """Whole chunks go to the devices in turn: each by the program of one device."""
    if not devices:
        return contextlib.nullcontext()
    return sys.modules["jax"].default_device(devices[worker % len(devices)])


def _check(
    measurement: Measurement, arrays: Mapping[str, np.ndarray], leading: tuple[int, int]
) -> None:
    if set(arrays) != set(measurement.outputs):
        raise ValueError(
            f"compute returned {', '.join(sorted(arrays))}; "
            f"the measurement promises {', '.join(sorted(measurement.outputs))}"
        )
    for name, output in measurement.outputs.items():
        shape = arrays[name].shape
        if len(shape) != 2 + len(output.dims) or shape[:2] != leading:
            expected = ", ".join([*map(str, leading), *output.dims])
            raise ValueError(f"output {name} has the shape {shape}; expected is [{expected}]")


def _save_failure(chunk: Chunk, store: Store, seeds: tuple[int, ...], error: BaseException) -> None:
    first_line = (str(error).strip() or "no message").splitlines()[0]
    text = "".join(traceback.format_exception(error))
    failure = Failed(chunk.members, seeds, f"{type(error).__name__}: {first_line}", text)
    store.save_failure(chunk.measurement, chunk.group, failure)


def _is_about_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(word in str(error) for word in MEMORY_WORDS)


class _Queue:
    """Chunks for several threads; the first of a program goes alone, so that it compiles once."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._condition = threading.Condition()
        self._waiting: dict[str, collections.deque[Chunk]] = {}
        for chunk in chunks:
            self._waiting.setdefault(chunk.program, collections.deque()).append(chunk)
        self._compiling: set[str] = set()
        self._compiled: set[str] = set()
        self._num_out = 0
        self._is_stopped = False

    def take(self) -> Chunk | None:
        """The next chunk; it waits for one, and gives None when all are done."""
        with self._condition:
            while not self._is_stopped:
                if not self._waiting and not self._num_out:
                    return None
                if (program := self._next_program()) is not None:
                    return self._hand_out(program)
                self._condition.wait()
            return None

    def put_back(self, chunk: Chunk, report: Report) -> None:
        """Say what became of a chunk; one that another process computes is asked for later."""
        if not report.is_done:
            time.sleep(SECONDS_BETWEEN_LOOKS)
        with self._condition:
            self._num_out -= 1
            self._compiling.discard(chunk.program)
            if report.was_computed:
                self._compiled.add(chunk.program)
            if not report.is_done:
                self._waiting.setdefault(chunk.program, collections.deque()).append(chunk)
            self._condition.notify_all()

    def stop(self) -> None:
        """Hand out no other chunk."""
        with self._condition:
            self._is_stopped = True
            self._condition.notify_all()

    def _next_program(self) -> str | None:
        ready = [program for program in self._waiting if program in self._compiled]
        fresh = [program for program in self._waiting if program not in self._compiling]
        return next(iter(ready + fresh), None)

    def _hand_out(self, program: str) -> Chunk:
        chunk = self._waiting[program].popleft()
        if not self._waiting[program]:
            del self._waiting[program]
        if program not in self._compiled:
            self._compiling.add(program)
        self._num_out += 1
        return chunk
