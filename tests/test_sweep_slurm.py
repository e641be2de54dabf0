"""The Slurm launcher on a real Slurm: an array, a killed task, a resume, the same numbers."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from experiments.common.errors import UserError
from experiments.sweeps import slurm
from tests import slurm_cluster
from tests.toy_sweep import computed_runs

ROOT = Path(__file__).resolve().parents[1]
SWEEP = (
    "--experiment=tests.toy_sweep",
    "--config=tests/toy_sweep_config.py",
    "--grid=estimator=maxpo,ei",
    "--seeds=0:8",
    "--chunk_size=2",
    "--workers=2",
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    pytest.importorskip("submitit", reason='submitit is not installed: pip install ".[slurm]"')
    if reason := slurm_cluster.reason_to_skip():
        pytest.skip(reason)
    with slurm_cluster.running(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


def start(out_dir: Path, *flags: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.sweep", *SWEEP, f"--out_dir={out_dir}", *flags],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_killed_task_and_a_killed_driver_lose_nothing(
    tmp_path: Path, cluster: dict[str, str]
) -> None:
    log, out_dir = tmp_path / "computed.log", tmp_path / "out"
    log.touch()
    pids = tmp_path / "pids"
    toy = {"TOY_LOG": str(log), "TOY_SECONDS": "0.5", "TOY_PIDS": str(pids)}
    driver = start(out_dir, "--launcher=slurm", **cluster, **toy)
    wait_until(lambda: len(computed_runs(log)) >= 4)
    os.kill(int(pids.read_text().split()[0]), signal.SIGKILL)  # a task
    time.sleep(0.2)
    driver.kill()
    driver.communicate()
    assert len(list((out_dir / "runs").rglob("*.npz"))) < 16
    output = finish(start(out_dir, "--launcher=slurm", **cluster, **toy))
    assert "16 of 16 runs are stored" in output
    counts = Counter(computed_runs(log))
    assert len(counts) == 16
    assert counts.total() <= 16 + 2  # the chunk that the killed task had at hand
    finish(start(tmp_path / "local"))
    local = (tmp_path / "local" / "sweep.nc").read_bytes()
    assert (out_dir / "sweep.nc").read_bytes() == local


def test_the_daemons_listen_on_the_loopback_address_alone(cluster: dict[str, str]) -> None:
    text = Path(cluster["SLURM_CONF"]).read_text()
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


def test_a_task_that_dies_is_submitted_again(tmp_path: Path, cluster: dict[str, str]) -> None:
    toy = {"TOY_KILLS_ONCE": str(tmp_path / "killed")}
    output = finish(start(tmp_path / "out", "--launcher=slurm", **cluster, **toy))
    assert "16 of 16 runs are stored" in output
    assert "a Slurm task was killed; its log is" in output


def test_mistakes_are_told_before_anything_is_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    with pytest.raises(UserError, match="--minutes is 5; it must be 60 or more"):
        slurm.make_launcher(tmp_path, 5, [])
    with pytest.raises(UserError, match="write --slurm=option=value"):
        slurm.make_launcher(tmp_path, 60, ["gpu"])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="finds no Slurm here"):
        slurm.make_launcher(tmp_path, 60, [])


def test_without_submitit_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match="pip install"):
        slurm.make_launcher(tmp_path, 60, [])
