"""Sweeps killed at random moments, two at once, a full disk, Ctrl-C: nothing is lost or changed.

Everything here is real: processes, signals, files. The toy measurement logs every run it computes.
"""

import collections
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.engine.toy_measurement import computed_runs

ROOT = Path(__file__).resolve().parents[2]

# Sets the limit in the new process: forking code of ours is not safe beside the threads of JAX.
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    log = tmp_path / "computed.log"
    log.touch()
    monkeypatch.setenv("TOY_LOG", str(log))
    return log


def start(*arguments: object, no_room: bool = False) -> subprocess.Popen:
    limited = [sys.executable, "-c", LIMITED] if no_room else []
    return subprocess.Popen(
        [*limited, sys.executable, "-m", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output


def test_a_sweep_killed_20_times_ends_with_the_same_bytes(tmp_path: Path) -> None:
    assert finish(start("tests.engine.kill_the_toy", tmp_path)).strip() == "20"


def test_two_sweeps_at_once_share_the_work(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_SECONDS", "0.05")
    sweeps = [start("tests.engine.sweep_process", tmp_path / "store", 120) for _ in range(2)]
    for sweep in sweeps:
        assert finish(sweep).startswith("480 of 720 runs are stored, 240 make no sense []")
    counts = collections.Counter(computed_runs(log))
    assert len(counts) == counts.total() == 480


def test_a_run_that_kills_its_process_loses_nothing_that_is_stored(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_KILLS", "9")
    killed = start("tests.engine.sweep_process", tmp_path / "store", 12)
    killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL
    before = len(list((tmp_path / "store").rglob("*.npz")))
    assert before > 0
    monkeypatch.delenv("TOY_KILLS")
    log.write_text("")
    finish(start("tests.engine.sweep_process", tmp_path / "store", 12))
    assert len(computed_runs(log)) == 48 - 4 * before


def test_a_full_disk_leaves_whole_files_and_one_line(tmp_path: Path, log: Path) -> None:
    folder = tmp_path / "store"
    output, errors = start("tests.engine.sweep_process", folder, 8, no_room=True).communicate()
    assert "0 of 48 runs are stored, 16 make no sense, 32 remain" in output
    assert "cannot write to" in output
    assert "Traceback" not in output + errors
    assert not list(folder.rglob("*.npz*"))
    assert finish(start("tests.engine.sweep_process", folder, 8)).startswith("32 of 48 runs")


@pytest.mark.parametrize("when", ["while it is imported", "while it computes"])
def test_ctrl_c_gives_one_line_at_any_time(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setenv("TOY_SECONDS", "20")
    flags = ("--grid.seed=0:9", f"--store={tmp_path / 'store'}", f"--out_dir={tmp_path / 'out'}")
    sweep = start("experiments.sweep", "tests.engine.toy_measurement", *flags)
    if when == "while it computes":
        end = time.monotonic() + 60
        while not log.read_text() and time.monotonic() < end:
            time.sleep(0.05)
    else:
        while "numpy" not in Path(f"/proc/{sweep.pid}/maps").read_text():
            time.sleep(0.005)
    start_of_end = time.monotonic()
    os.kill(sweep.pid, signal.SIGINT)
    output, errors = sweep.communicate(timeout=60)
    assert time.monotonic() - start_of_end < 10  # it does not wait for what is computed
    assert sweep.returncode == 130
    assert "Traceback" not in output + errors
    last = errors.strip().splitlines()[-1]
    words = "0 of 9 runs are stored, 9 remain in" if "computes" in when else "nothing was computed"
    assert last.startswith(f"interrupted: {words}")
