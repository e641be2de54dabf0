"""Workers and drivers that die, a full disk, Ctrl-C, workers that never start: nothing is lost.

Everything here is real: processes, signals, files.
"""

import collections
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.engine.kill_the_workers import wait_until
from tests.engine.test_kills import ROOT, finish, start
from tests.engine.toy_measurement import computed_runs

SWEEP = "tests.engine.sweep_process"
SWEEP_COMMAND = ("experiments.sweep", "tests.engine.toy_measurement")
DIES_AT_ONCE = """
import os, sys
if any("spawn_main" in argument for argument in sys.orig_argv):
    os._exit(3)
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    log = tmp_path / "computed.log"
    log.touch()
    monkeypatch.setenv("TOY_LOG", str(log))
    return log


def living(group: int) -> list[str]:
    """The processes of a group that are not dead, by their command."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, of_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(of_group) == group and state != "Z":
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def test_workers_and_drivers_killed_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    output = finish(start("tests.engine.kill_the_workers", tmp_path, 4, 2))
    assert output.startswith("4 workers, 2 drivers")


def test_a_run_that_kills_its_worker_is_found_and_costs_no_other(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_KILLS", "1")
    driver = start("tests.engine.kill_a_worker", tmp_path / "store")
    output = finish(driver)
    assert "3 of 4 runs are stored, 1 failed []" in output
    assert "'seed': 1} KilledWorker: killed its worker 3 times" in output
    monkeypatch.delenv("TOY_KILLS")
    log.write_text("")
    output = finish(start("tests.engine.kill_a_worker", tmp_path / "store", "again"))
    assert "4 of 4 runs are stored []" in output
    assert len(computed_runs(log)) == 4  # the chunk of the run


def test_two_drivers_at_once_share_the_work(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_SECONDS", "0.1")
    drivers = [start(SWEEP, tmp_path / "store", 80, workers) for workers in (2, 0)]
    for driver in drivers:
        assert finish(driver).startswith("320 of 480 runs are stored, 160 make no sense []")
    counts = collections.Counter(computed_runs(log))
    assert len(counts) == counts.total() == 320


def test_a_full_disk_leaves_whole_files_and_one_line(tmp_path: Path, log: Path) -> None:
    folder = tmp_path / "store"
    output, errors = start(SWEEP, folder, 4, 2, no_room=True).communicate(timeout=60)
    assert "0 of 24 runs are stored, 8 make no sense, 16 remain" in output
    assert output.count("cannot write to") == 1
    assert "Traceback" not in output + errors
    assert not list(folder.rglob("*.npz*"))


def test_ctrl_c_ends_everything_in_seconds(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_SECONDS", "30")
    flags = (
        "--grid.seed=0:9",
        "--workers=2",
        f"--store={tmp_path / 'store'}",
        f"--out_dir={tmp_path / 'out'}",
    )
    sweep = subprocess.Popen(
        [sys.executable, "-m", *SWEEP_COMMAND, *flags],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: len(log.read_text().splitlines()) == 2)
    began = time.monotonic()
    os.killpg(sweep.pid, signal.SIGINT)  # as a terminal does, to the workers as well
    output, errors = sweep.communicate(timeout=60)
    assert time.monotonic() - began < 10
    assert sweep.returncode == 130
    assert "Traceback" not in output + errors
    assert errors.strip().splitlines()[-1].startswith("interrupted: 0 of 9 runs are stored")
    wait_until(lambda: not living(sweep.pid), 5)


def test_workers_that_do_not_start_give_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text(DIES_AT_ONCE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    driver = start(SWEEP, tmp_path / "store", 4, 2)
    output, errors = driver.communicate(timeout=60)
    assert driver.returncode == 2
    assert errors.strip() == "error: the workers do not start"
    assert not output
