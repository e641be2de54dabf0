"""The local launcher: worker processes on this machine."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from experiments.code_hash import PROJECT_ROOT
from experiments.sweeps.driver import Ending
from experiments.sweeps.worker import CODE_CHANGED, STORAGE_TROUBLE, Task

SECONDS_BETWEEN_LOOKS = 0.1
GPU_DEVICE = Path("/dev/nvidiactl")
COMMAND = [sys.executable, "-m", "experiments.sweeps.worker"]


def default_num_workers() -> int:
    """One worker per core, or a single one where a GPU is to be shared by all runs."""
    return 1 if GPU_DEVICE.exists() else len(os.sched_getaffinity(0))


def launch(tasks: Sequence[Task], watch: Callable[[], None]) -> list[Ending]:
    """Start a worker process for each task, and return when all have ended.

    The workers die with an interrupted launcher; those of a killed one end after their chunk.
    """
    workers = [_start() for _ in tasks]
    try:
        for worker, task in zip(workers, tasks, strict=True):
            _send(worker, task.to_json() + "\n")
        while any(worker.poll() is None for worker in workers):
            time.sleep(SECONDS_BETWEEN_LOOKS)
            watch()
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            with contextlib.suppress(BrokenPipeError):
                _input_of(worker).close()
    return [_ending(worker.returncode) for worker in workers]


def _start() -> subprocess.Popen[str]:
    path = os.pathsep.join([str(PROJECT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        COMMAND,
        stdin=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
        start_new_session=True,  # Ctrl-C reaches the launcher alone
    )


def _send(worker: subprocess.Popen[str], text: str) -> None:
    with contextlib.suppress(BrokenPipeError):  # it was killed already; its ending says so
        _input_of(worker).write(text)
        _input_of(worker).flush()


def _input_of(worker: subprocess.Popen[str]) -> IO[str]:
    assert worker.stdin is not None
    return worker.stdin


def _ending(status: int) -> Ending:
    if status == 0:
        return Ending()
    if status < 0:
        hint = " (out of memory? try a smaller --chunk_size)" if status == -signal.SIGKILL else ""
        return Ending(f"a worker was killed by {signal.Signals(-status).name}{hint}")
    if status == STORAGE_TROUBLE:
        return Ending("results cannot be stored; is the disk full?", is_final=True)
    if status == CODE_CHANGED:
        return Ending("the code changed since the sweep was planned", is_final=True)
    return Ending(f"a worker ended with status {status}")
