"""Sweeps on a real Slurm: the same bytes as in one process, though a job is cancelled."""

import collections
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine import slurm_cluster
from tests.engine.kill_the_workers import wait_until
from tests.engine.toy_measurement import computed_runs

ROOT = Path(__file__).resolve().parents[2]
SWEEP = ("tests.engine.toy_measurement", "--grid.k=2,4", "--grid.seed=0:16")
SLURM = ("--cluster=slurm", "--workers=2", "--cluster.memory=500MB", "--cluster.interface=lo")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    pytest.importorskip("dask_jobqueue", reason='Dask is not there: pip install ".[cluster]"')
    if reason := slurm_cluster.reason_to_skip():
        pytest.skip(reason)
    with slurm_cluster.running(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


def start(folder: Path, *flags: str, **environment: str) -> subprocess.Popen:
    folders = (f"--store={folder / 'store'}", f"--out_dir={folder / 'out'}")
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.sweep", *SWEEP, *folders, *flags],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def jobs(slurm: dict[str, str]) -> list[str]:
    command = ["squeue", "--noheader", "--format=%i", "--states=running"]
    environment = os.environ | slurm
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout.split()


def test_a_cancelled_job_loses_nothing_and_is_submitted_again(
    tmp_path: Path, slurm: dict[str, str]
) -> None:
    log = tmp_path / "computed.log"
    log.touch()
    toy = {"TOY_LOG": str(log), "TOY_SECONDS": "4"}
    lost = {"DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT": "1s"}
    driver = start(tmp_path, *SLURM, **slurm, **toy, **lost)
    wait_until(lambda: len(computed_runs(log)) >= 8)
    before = jobs(slurm)
    assert len(before) == 2
    subprocess.run(["scancel", before[0]], env=os.environ | slurm, check=True)
    wait_until(lambda: set(jobs(slurm)) - set(before), 30)  # its successor
    output, _ = driver.communicate(timeout=120)
    assert driver.returncode == 0, output
    assert "32 of 32 runs are stored" in output
    counts = collections.Counter(computed_runs(log))
    assert len(counts) == 32
    assert counts.total() <= 32 + 4  # the chunk that the cancelled job had at hand
    wait_until(lambda: not jobs(slurm), 30)

    here = start(tmp_path / "here")
    output, _ = here.communicate(timeout=60)
    assert here.returncode == 0, output
    assert (tmp_path / "out/sweep.nc").read_bytes() == (tmp_path / "here/out/sweep.nc").read_bytes()


def test_what_slurm_refuses_is_told_in_one_line(tmp_path: Path, slurm: dict[str, str]) -> None:
    sweep = start(tmp_path, *SLURM, "--cluster.queue=gpu", **slurm)
    output, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 2
    last = output.strip().splitlines()[-1]
    assert last.startswith("error: the workers were not accepted: sbatch: error: ")
    assert "Traceback" not in output


def test_jobs_that_end_before_their_worker_came_are_told(
    tmp_path: Path, slurm: dict[str, str]
) -> None:
    sweep = start(tmp_path, *SLURM, "--cluster.python=/bin/false", **slurm)
    output, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 2
    last = output.strip().splitlines()[-1]
    assert last.startswith("error: every job ended before its worker came; their logs: ")


def test_the_daemons_listen_on_the_loopback_address_alone(slurm: dict[str, str]) -> None:
    text = Path(slurm["SLURM_CONF"]).read_text()
    ports = {int(port) for port in re.findall(r"^Slurm\w+Port=(\d+)$", text, re.MULTILINE)}
    assert len(ports) == 2
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            address, port = local.split(":")
            if state == "0A" and int(port, 16) in ports:  # 0A: it listens
                found.add((address, int(port, 16)))
    assert found == {("0100007F", port) for port in ports}


def test_a_store_whose_path_a_job_cannot_be_told_is_refused(
    tmp_path: Path, slurm: dict[str, str]
) -> None:
    sweep = start(tmp_path / "two words", *SLURM, **slurm)
    output, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 2
    assert "needs a store without a space in its path" in output.strip().splitlines()[-1]
    assert "Traceback" not in output
