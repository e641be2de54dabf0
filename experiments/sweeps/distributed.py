"""One chunk of runs over the devices of several processes or hosts, by `jax.distributed`.

Every process goes through the same chunks in the same order, for the program of a chunk spans all
of them. Process 0 says what is pending, and it alone writes.
"""

import dataclasses
import sys
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils

from experiments.common.errors import UserError
from experiments.sweeps import driver, sweepable, worker
from experiments.sweeps.driver import Outcome
from experiments.sweeps.plan import Plan, Run
from experiments.sweeps.store import StorageError, Store
from experiments.sweeps.worker import Work


def initialize(coordinator: str | None, num_processes: int, process_id: int) -> None:
    """Join the other processes.

    Args:
      coordinator: "host:port" of process 0, which listens on that address alone; None where JAX
        finds it by itself, as under Slurm.
      num_processes: how many processes there are; read only with a coordinator.
      process_id: the number of this one, from 0; read only with a coordinator.

    Raises:
      UserError: if that makes no sense.
    """
    if coordinator is None:
        jax.distributed.initialize()
        return
    if not 0 <= process_id < num_processes:
        raise UserError(
            f"--process_id is {process_id}; with --num_processes={num_processes} it must be 0 to "
            f"{num_processes - 1}"
        )
    jax.distributed.initialize(
        coordinator_address=coordinator,
        num_processes=num_processes,
        process_id=process_id,
        coordinator_bind_address=coordinator,
    )


def is_writer() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


def bring_up_to_date(
    plan: Plan, store: Store, watch: Callable[[Sequence[Run]], None] = lambda pending: None
) -> Outcome:
    """Compute every run of a plan that is neither finished nor failed, all processes together.

    Args:
      plan: the plan, the same in every process.
      store: the store, in a folder that process 0 writes.
      watch: told after every chunk which runs are pending.

    Returns:
      What became of the runs, as this process sees the store.
    """
    offered = sweepable.load(plan.experiment)
    pending = _agreed_pending(plan, store)
    sizes = tuple(size * jax.device_count() for size in plan.chunk_sizes)
    together = dataclasses.replace(plan, chunk_sizes=sizes)
    try:
        for chunk in driver.chunks(together, pending):
            size = sizes[chunk[0].group]
            work = [Work(run.key, run.config, run.group) for run in chunk]
            worker.compute_chunk(store, offered, work, size, writes=is_writer())
            pending = pending[len(chunk) :]
            watch(pending)
    except StorageError as error:
        print(f"worker: {error}", file=sys.stderr)
        return driver.outcome(plan, store, ["results cannot be stored; is the disk full?"])
    multihost_utils.sync_global_devices("the runs are stored")
    return driver.outcome(plan, store)


def _agreed_pending(plan: Plan, store: Store) -> list[Run]:
    """What process 0 sees as pending, sorted by group; the others may see its files later."""
    pending = {run.key for run in driver.pending_runs(store, plan.runs)} if is_writer() else set()
    own_view = np.array([run.key in pending for run in plan.runs])
    agreed = multihost_utils.broadcast_one_to_all(own_view)
    runs = [run for run, waits in zip(plan.runs, np.asarray(agreed), strict=True) if waits]
    return sorted(runs, key=lambda run: run.group)
