"""The clusters that compute chunks: opened by Dask, watched while they work, closed again.

    --workers=4                                     processes of this machine
    --cluster=slurm --workers=16 --cluster.queue=gpu --cluster.memory=8GB
                                                    jobs; also pbs, lsf, sge and htcondor
    --cluster=ssh --cluster.hosts=a,b               a worker on each of these machines
    --cluster=tcp://host:8786                       the workers of a scheduler that runs already
    --cluster=package.module.Class --workers=16     any other class of clusters

`--cluster.NAME=VALUE` goes to the class of the cluster as it is; for jobs, what is not given comes
from the user's `jobqueue.yaml`. Every machine must see the current folder and the store. Workers
have one thread: JAX uses the cores by itself. Traffic stays on this machine or goes through TLS.
Where this machine has several GPUs, a worker sees one, by its number.
"""

import ast
import contextlib
import copy
import dataclasses
import importlib
import inspect
import logging
import multiprocessing.resource_tracker
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dask
import distributed
import psutil
from distributed.security import Security

from experiments.common.errors import UserError, did_you_mean

JOBS = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "lsf": "LSFCluster",
    "sge": "SGECluster",
    "htcondor": "HTCondorCluster",
}
SSH = "ssh"
SCHEDULER_ADDRESSES = ("tcp://", "tls://", "ucx://", "ws://", "wss://")
LOOPBACK = "127.0.0.1"
UNUSED = f"{LOOPBACK}:0"  # Dask opens a port for its dashboard even where there is none
SECONDS_TO_CLOSE = 5
MAX_FAILED_STARTS = 3  # of each worker, while none has started
SECONDS_UNTIL_REPLACED = 2
SECONDS_WITHOUT_WORKERS = 60  # until the user is told
SECONDS_BETWEEN_LOOKS_AT_JOBS = 5

# Which chunk a worker died of is known because it has one at a time; JAX takes memory at once and
# holds the lock of Python while it compiles, which Dask would take for a leak and for death.
SETTINGS: Mapping[str, Any] = {
    "distributed.scheduler.allowed-failures": 2,
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.scheduler.worker-ttl": None,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.worker.profile.enabled": False,
    "distributed.scheduler.http.routes": [],  # no dashboard
    "distributed.worker.http.routes": [],
    "distributed.nanny.pre-spawn-environ": {},  # Dask's own limits the threads of a worker
    "distributed.worker.multiprocessing-method": "spawn",
    "scheduler": "synchronous",
}


@dataclasses.dataclass
class Connection:
    """Workers that compute.

    Attributes:
      client: of Dask.
      cluster: of Dask; None for a scheduler that runs already.
      gpus: what one worker each gets to see, by the worker's number; empty where all see all.
      logs: folder of the workers' logs, where they have any.
      num_workers: how many there are to be.
    """

    client: distributed.Client
    cluster: Any = None
    gpus: tuple[str, ...] = ()
    logs: Path | None = None
    num_workers: int = 0
    _since: float | None = None  # when the last worker was seen
    _next_look: float = 0.0
    _was_told: bool = False
    _num_failed_starts: int = 0
    _gone_since: dict[Any, float] = dataclasses.field(default_factory=dict)

    def check(self) -> None:
        """Tell the user where no worker comes.

        Raises:
          UserError: if none will come.
        """
        now = time.monotonic()
        if self.client.status not in ("running", "connecting"):
            raise UserError("the scheduler was lost; the same command goes on")
        self._start_lost_ones_again(now)
        if self._since is None or self.client.nthreads():
            self._since, self._num_failed_starts = now, 0
            return
        where = f"; their logs: {self.logs}" if self.logs else ""
        if self._num_failed_starts >= MAX_FAILED_STARTS * self.num_workers > 0:
            raise UserError("the workers do not start")
        if now > self._next_look:
            self._next_look = now + SECONDS_BETWEEN_LOOKS_AT_JOBS
            if jobs_have_ended(self.cluster):
                raise UserError(f"every job ended before its worker came{where}")
        if now - self._since > SECONDS_WITHOUT_WORKERS and not self._was_told:
            self._was_told = True
            print(f"\nno worker has come yet, still waiting{where}", file=sys.stderr, flush=True)

    def _start_lost_ones_again(self, now: float) -> None:
        """Replace workers of this machine whose process is gone for good.

        Dask starts a process again that dies, but not always one that dies while it starts.
        """
        if not isinstance(self.cluster, distributed.LocalCluster):
            return
        for name, worker in list(self.cluster.workers.items()):
            if worker.pid is not None and psutil.pid_exists(worker.pid):
                self._gone_since.pop(name, None)
            elif now - self._gone_since.setdefault(name, now) > SECONDS_UNTIL_REPLACED:
                self._num_failed_starts += 1
                self._gone_since.pop(name)
                self.cluster.workers.pop(name, None)
                loop: Any = self.client.loop
                loop.add_callback(_close_quietly, worker)
        self.cluster.scale(self.num_workers)

    def abandon(self) -> None:
        """End the workers of this machine at once: what they compute is not wanted."""
        if isinstance(self.cluster, distributed.LocalCluster):
            for worker in list(self.cluster.workers.values()):
                worker.status = distributed.Status.closing  # so that it is not started again
                if (pid := getattr(worker, "pid", None)) is not None:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)


@dataclasses.dataclass(frozen=True)
class Request:
    """A cluster as it was asked for; see `cluster.executor`."""

    cluster: str | None
    workers: int
    options: dict[str, Any]

    def check(self) -> None:
        """Find mistakes that need no cluster to be found.

        Raises:
          UserError: if there are any.
        """
        if self._runs_already:
            if self.options:
                raise UserError(f"--cluster.{next(iter(self.options))} comes too late: it runs")
            return
        self._class()
        if self.cluster is not None and self.cluster != SSH and not self.workers:
            raise UserError(f"--cluster={self.cluster} needs a number of workers: add --workers=16")
        if self.cluster == SSH and not self.options.get("hosts"):
            raise UserError("--cluster=ssh needs machines: add --cluster.hosts=first,second")

    @contextlib.contextmanager
    def opened(self, max_workers: int, folder: Path) -> Iterator[Connection]:
        """Open the cluster, and close it at the end.

        Args:
          max_workers: more are not needed.
          folder: of the store.

        Raises:
          UserError: if it cannot be opened.
        """
        with contextlib.ExitStack() as stack:
            stack.enter_context(dask.config.set(copy.deepcopy(dict(SETTINGS))))
            stack.enter_context(_quiet())
            stack.enter_context(_without_main_module())
            yield self._connection(min(self.workers, max_workers), folder, stack)

    @property
    def _runs_already(self) -> bool:
        return self.cluster is not None and self.cluster.startswith(SCHEDULER_ADDRESSES)

    def _class(self) -> Callable[..., Any]:
        if self.cluster is None:
            return distributed.LocalCluster
        if self.cluster == SSH:
            _imported("asyncssh", self.cluster)
            return distributed.SSHCluster
        if self.cluster in JOBS:
            return getattr(_imported("dask_jobqueue", self.cluster), JOBS[self.cluster])
        module, dot, name = self.cluster.rpartition(".")
        if not dot:
            known = did_you_mean(self.cluster, [*JOBS, SSH])
            raise UserError(
                f"--cluster={self.cluster} is unknown: {known} "
                "Or write tcp://host:8786, or package.module.Class"
            )
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise UserError(f"--cluster={self.cluster} does not exist: {error}") from error

    def _connection(
        self, num_workers: int, folder: Path, stack: contextlib.ExitStack
    ) -> Connection:
        if self._runs_already:
            return Connection(stack.enter_context(_client(str(self.cluster))))
        logs = folder.absolute() / "logs" if self.cluster in JOBS else None
        cluster = self._made(num_workers, folder.absolute(), logs, stack)
        stack.callback(_closed, cluster)
        client = stack.enter_context(_client(cluster))
        if self.cluster is None:
            cluster.scale(num_workers)
        elif self.cluster != SSH:
            _scale(cluster, num_workers)
        gpus = _gpus() if self.cluster is None else ()
        return Connection(client, cluster, gpus, logs, num_workers)

    def _made(
        self, num_workers: int, folder: Path, logs: Path | None, stack: contextlib.ExitStack
    ) -> Any:
        """The cluster of Dask."""
        make = self._class()
        options = {name: _value(text) for name, text in self.options.items()}
        if self.cluster is None:
            options = _local_options()
        elif self.cluster == SSH:
            options = _ssh_options(options, num_workers, folder, stack)
        elif self.cluster in JOBS:
            assert logs is not None
            options = _job_options(self.cluster, options, folder, logs)
        elif "security" in inspect.signature(make).parameters:
            options = {"security": True} | options
        with _without_interrupts():
            try:
                return make(**options)
            except (TypeError, ValueError) as error:
                reason = str(error).partition("\n")[0].partition(". Very likely")[0]
                raise UserError(f"--cluster={self.cluster} does not take this: {reason}") from error
            except (RuntimeError, OSError, ImportError) as error:
                raise UserError(f"the workers did not start: {_last_line(error)}") from error


def jobs_have_ended(cluster: Any) -> bool:
    """Whether every job was submitted to Slurm and is gone; other systems are not asked."""
    if type(cluster).__name__ != JOBS["slurm"]:
        return False
    jobs = [getattr(job, "job_id", None) for job in cluster.workers.values()]
    ids = [job for job in jobs if job]
    if not ids or len(ids) < len(jobs):
        return False
    command = ["squeue", "--noheader", "--format=%i", f"--jobs={','.join(ids)}"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    return not answer.stdout.split()


def _local_options() -> dict[str, Any]:
    return {
        "n_workers": 0,
        "threads_per_worker": 1,
        "host": LOOPBACK,
        "dashboard_address": UNUSED,
        "memory_limit": 0,
        "silence_logs": logging.CRITICAL,
    }


def _job_options(system: str, options: dict[str, Any], folder: Path, logs: Path) -> dict[str, Any]:
    """Options of a class of dask-jobqueue, one thread a worker and one worker a job."""

    def configured(name: str) -> Any:
        return options.get(name, dask.config.get(f"jobqueue.{system}.{name}".replace("_", "-")))

    if not configured("memory"):
        raise UserError(
            f"--cluster={system} needs the memory of a job: add --cluster.memory=4GB, "
            "or write it into ~/.config/dask/jobqueue.yaml"
        )
    if any(letter.isspace() for letter in str(folder)):  # it stands unquoted in the job's script
        raise UserError(
            f"--cluster={system} needs a store without a space in its path, and {folder} has one: "
            "give another by --store"
        )
    logs.mkdir(parents=True, exist_ok=True)
    defaults = {
        "cores": configured("cores") or 1,
        "log_directory": configured("log_directory") or str(logs),
        "shared_temp_directory": configured("shared_temp_directory") or str(folder),
        "python": configured("python") or shlex.quote(sys.executable),
        "security": True,
        "silence_logs": logging.CRITICAL,
        "scheduler_options": {"dashboard": False, "dashboard_address": UNUSED},
    }
    prologue = [
        *(configured("job_script_prologue") or []),
        *(f"export {name}={value!r}" for name, value in _as_environment(SETTINGS).items()),
    ]
    worker = [*(configured("worker_extra_args") or []), "--nthreads", "1", "--memory-limit", "0"]
    fixed = {
        "processes": 1,
        "job_script_prologue": prologue,
        "worker_extra_args": [*worker, "--no-dashboard"],
    }
    return defaults | options | fixed


def _ssh_options(
    options: dict[str, Any], num_workers: int, folder: Path, stack: contextlib.ExitStack
) -> dict[str, Any]:
    """Options of SSHCluster: the scheduler and the first worker share the first machine."""
    hosts = options["hosts"]
    hosts = hosts.split(",") if isinstance(hosts, str) else list(hosts)
    hosts = [hosts[i % len(hosts)] for i in range(num_workers or len(hosts))]
    stack.enter_context(dask.config.set(_tls_through_files(folder, stack)))
    worker = {"nthreads": 1, "memory_limit": "0", "dashboard": False}
    scheduler = {"protocol": "tls://", "dashboard": False, "dashboard_address": UNUSED}
    return options | {
        "hosts": [hosts[0], *hosts],
        "worker_options": worker | options.get("worker_options", {}),
        "scheduler_options": scheduler | options.get("scheduler_options", {}),
        "remote_python": options.get("remote_python", sys.executable),
        "security": Security(require_encryption=True),
    }


def _tls_through_files(folder: Path, stack: contextlib.ExitStack) -> dict[str, Any]:
    """Settings of Dask for TLS, with a key for this time alone, in files of the user's own."""
    keys = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".tls-", dir=folder)))
    temporary = Security.temporary()
    certificate, key = keys / "certificate.pem", keys / "key.pem"
    certificate.write_text(temporary.tls_ca_file)
    key.touch(mode=0o600)
    key.write_text(temporary.tls_scheduler_key)
    settings: dict[str, Any] = {
        "distributed.comm.require-encryption": True,
        "distributed.comm.tls.ca-file": str(certificate),
    }
    for role in ("scheduler", "worker", "client"):
        settings[f"distributed.comm.tls.{role}.cert"] = str(certificate)
        settings[f"distributed.comm.tls.{role}.key"] = str(key)
    return settings


def _as_environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings of Dask as variables that a worker of Dask reads."""

    def variable(name: str) -> str:
        return "DASK_" + name.upper().replace("-", "_").replace(".", "__")

    return {variable(name): str(value) for name, value in settings.items()}


def _scale(cluster: Any, num_workers: int) -> None:
    """Ask for workers, and again whenever one ends."""

    async def until_accepted() -> None:
        await cluster
        for worker in list(cluster.workers.values()):
            await worker  # raises what went wrong

    try:
        cluster.scale(num_workers)
        if isinstance(cluster, distributed.SpecCluster):
            cluster.sync(until_accepted)
    except (RuntimeError, OSError, ValueError) as error:
        raise UserError(f"the workers were not accepted: {_last_line(error)}") from error
    if hasattr(cluster, "adapt"):
        cluster.adapt(minimum=num_workers, maximum=num_workers)


@contextlib.contextmanager
def _client(target: Any) -> Iterator[distributed.Client]:
    try:
        client = distributed.Client(target, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise UserError(f"no scheduler answers at {target}: {_last_line(error)}") from error
    try:
        yield client
    finally:
        with contextlib.suppress(Exception):  # the end of a command does not depend on it
            client.close(timeout=SECONDS_TO_CLOSE)


async def _close_quietly(worker: Any) -> None:
    with contextlib.suppress(Exception):  # it is replaced already
        await worker.close(timeout=SECONDS_TO_CLOSE)


def _closed(cluster: Any) -> None:
    with contextlib.suppress(Exception):  # the end of a command does not depend on it
        cluster.close(timeout=SECONDS_TO_CLOSE)


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Start threads, and by them processes, that Ctrl-C does not reach: this one answers it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    multiprocessing.resource_tracker.ensure_running()  # it would let signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _without_main_module() -> Iterator[None]:
    """Let new processes not import the command that runs here: a worker needs nothing of it."""
    main = sys.modules["__main__"]
    kept = {name: getattr(main, name, None) for name in ("__spec__", "__file__")}
    vars(main).update(dict.fromkeys(kept))
    try:
        yield
    finally:
        vars(main).update(kept)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's log to itself: a worker that dies is nothing to report, it is replaced."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith("distributed")]
    names += ["tornado.application", "asyncio"]
    levels = {name: logging.getLogger(name).level for name in ["distributed", *names]}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _gpus() -> tuple[str, ...]:
    """The GPUs that this process sees, if there are several."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        found = tuple(str(i) for i, _ in enumerate(Path("/dev").glob("nvidia[0-9]*")))
    else:
        found = tuple(name for name in visible.split(",") if name)
    return found if len(found) > 1 else ()


def _imported(module: str, cluster: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f'--cluster={cluster} needs {module}: pip install ".[cluster]"') from error


def _value(text: Any) -> Any:
    """An option as Python writes it, otherwise the text."""
    if not isinstance(text, str):
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
