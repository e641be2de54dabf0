"""A real Slurm of one node, on the loopback address, for as long as a `with` block."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue")

CONFIGURATION = """\
ClusterName=ci
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={folder}/munge.sock,cred_expire=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
JobRequeue=1
KillWait=5
MpiDefault=none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={controller_port}
SlurmdPort={node_port}
NodeName=localhost NodeAddr=127.0.0.1 CPUs={num_cores} RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def reason_to_skip() -> str:
    """Why no Slurm can be started here; "" if it can."""
    missing = [name for name in PROGRAMS if _program(name) is None]
    if missing:
        return f"Slurm is not installed ({', '.join(missing)}): apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "the daemons of Slurm are started as root"


@contextlib.contextmanager
def running(folder: Path) -> Iterator[dict[str, str]]:
    """Start the daemons, wait until the node is idle, and stop them afterwards.

    Yields:
      What the environment needs for Slurm's commands to find this cluster.
    """
    for name in ("state", "spool"):
        (folder / name).mkdir()
    configuration = folder / "slurm.conf"
    configuration.write_text(
        CONFIGURATION.format(
            folder=folder,
            controller_port=_free_port(),
            node_port=_free_port(),
            num_cores=os.cpu_count(),
        )
    )
    environment = {"SLURM_CONF": str(configuration)}
    with contextlib.ExitStack() as stack:
        _start_munge(folder, stack)
        for command in (["slurmctld", "-D", "-f"], ["slurmd", "-D", "-N", "localhost", "-f"]):
            _start([*command, str(configuration)], folder, environment, stack)
        _wait_for(lambda: _node_is_idle(environment), "the node", folder)
        yield environment


def _start_munge(folder: Path, stack: contextlib.ExitStack) -> None:
    key, munge_socket = folder / "munge.key", folder / "munge.sock"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    files = [
        f"--{name}={folder}/munge.{suffix}"
        for name, suffix in (
            ("key-file", "key"),
            ("socket", "sock"),
            ("pid-file", "pid"),
            ("log-file", "log"),
            ("seed-file", "seed"),
        )
    ]
    _start(["munged", "--foreground", "--force", *files], folder, {}, stack)
    _wait_for(munge_socket.exists, "munge", folder)


def _start(
    command: list[str], folder: Path, environment: dict[str, str], stack: contextlib.ExitStack
) -> None:
    command[0] = str(_program(command[0]))
    log = stack.enter_context((folder / f"{Path(command[0]).name}.out").open("w"))
    daemon = subprocess.Popen(
        command, env=os.environ | environment, stdout=log, stderr=subprocess.STDOUT
    )
    stack.callback(_stop, daemon)


def _stop(daemon: subprocess.Popen) -> None:
    daemon.terminate()
    try:
        daemon.wait(timeout=10)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _node_is_idle(environment: dict[str, str]) -> bool:
    answer = subprocess.run(
        ["sinfo", "--noheader", "--format=%T"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    return answer.stdout.strip() == "idle"


def _wait_for(condition: object, what: str, folder: Path, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            logs = "\n".join(file.read_text()[-2000:] for file in folder.glob("*.log"))
            raise TimeoutError(f"{what} did not come up\n{logs}")
        time.sleep(0.1)


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
