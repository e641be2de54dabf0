"""Workers and drivers killed at random moments, two drivers at once, a full disk: nothing is lost.

Everything here is real: processes, SIGKILL, files. The toy experiment logs every run it computes.
"""

import collections
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from experiments.sweeps.store import Store
from tests.sweep_process import CHUNK_SIZE, make_plan
from tests.toy_sweep import computed_runs

ROOT = Path(__file__).resolve().parents[1]
NUM_ROUNDS = 9
NUM_WORKERS = 6  # killed one after the other, the driver among them


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    log = tmp_path / "computed.log"
    log.touch()
    monkeypatch.setenv("TOY_LOG", str(log))
    return log


# Sets the limit in the new process: forking code of ours is not safe beside the threads of JAX.
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
os.execv(sys.argv[1], sys.argv[1:])
"""


def start_driver(
    folder: Path, num_seeds: int, num_workers: int = 2, *, no_room: bool = False
) -> subprocess.Popen:
    limited = [sys.executable, "-c", LIMITED] if no_room else []
    return subprocess.Popen(
        [
            *limited,
            sys.executable,
            "-m",
            "tests.sweep_process",
            str(folder),
            str(num_seeds),
            str(num_workers),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(driver: subprocess.Popen) -> str:
    output, errors = driver.communicate(timeout=60)
    assert driver.returncode == 0, errors
    return output


def kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def workers_of(driver: subprocess.Popen) -> list[int]:
    children = Path(f"/proc/{driver.pid}/task/{driver.pid}/children")
    return [int(pid) for pid in children.read_text().split()] if children.exists() else []


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)


def kill_all_in_random_order(
    driver: subprocess.Popen, log: Path, chance: random.Random
) -> collections.Counter:
    """Kill the driver and its workers one by one, at random moments of their work."""
    wait_until(lambda: len(workers_of(driver)) == NUM_WORKERS)
    victims = [("worker", pid) for pid in workers_of(driver)] + [("driver", driver.pid)]
    chance.shuffle(victims)
    size = log.stat().st_size
    if chance.random() < 0.8:  # otherwise some die while they start
        wait_until(lambda: log.stat().st_size > size)
    kills = collections.Counter()
    for kind, pid in victims:
        time.sleep(chance.expovariate(1 / 0.03))
        kills[kind] += kill(pid)
    driver.communicate(timeout=60)
    return kills


def stored_contents(folder: Path, num_seeds: int) -> dict[str, bytes]:
    """Everything in the store that a sweep's dataset is made of."""
    store = Store(folder)
    contents = {}
    for run in make_plan(num_seeds).runs:
        result = store.load(run.key)
        if result is None:
            assert not store.has(run.key), "a damaged file"
            continue
        contents[run.key] = b"".join(result.arrays[name].tobytes() for name in result.arrays)
    store.close()
    return contents


def test_runs_survive_kills_of_workers_and_drivers_at_random_moments(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_SECONDS", "0.01")
    chance = random.Random(0)
    folder, num_seeds = tmp_path / "store", 250
    kills = collections.Counter()
    known: dict[str, bytes] = {}
    for _ in range(NUM_ROUNDS):
        driver = start_driver(folder, num_seeds, NUM_WORKERS)
        kills += kill_all_in_random_order(driver, log, chance)
        now = stored_contents(folder, num_seeds)
        assert known.items() <= now.items(), "a stored result was lost or changed"
        known = now
    assert kills.total() >= 50
    assert 0 < len(known) < 4 * num_seeds, "the kills hit a sweep at work"
    monkeypatch.setenv("TOY_SECONDS", "0")
    output = finish(start_driver(folder, num_seeds))
    assert output.startswith(f"{4 * num_seeds} of {4 * num_seeds} runs are stored []")

    store = Store(folder)
    for run in make_plan(num_seeds).runs:
        setting = run.setting
        product = setting["k"] * float(np.float32(0.1))
        expected = product + setting["seed"] + len(setting["estimator"])
        assert store.load(run.key).arrays["value"].item() == expected
    counts = collections.Counter(computed_runs(log))
    assert not list(folder.rglob("*.tmp"))
    # Only what a killed worker had at hand was computed again; a killed driver costs nothing.
    computed_again = counts.total() - len(counts)
    assert len(counts) == 4 * num_seeds
    assert computed_again <= CHUNK_SIZE * kills["worker"]


def test_two_drivers_at_once_share_the_work(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_SECONDS", "0.02")
    drivers = [start_driver(tmp_path / "store", 60) for _ in range(2)]
    for driver in drivers:
        assert finish(driver).startswith("240 of 240 runs are stored []")
    counts = collections.Counter(computed_runs(log))
    assert len(counts) == counts.total() == 240


def test_a_run_that_kills_its_worker_costs_no_other_run(
    tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOY_KILLS", "3")
    output = finish(start_driver(tmp_path / "store", 16))
    assert output.startswith("32 of 64 runs are stored, 32 remain")  # its chunk, of each setting
    assert "killed by SIGKILL" in output
    monkeypatch.delenv("TOY_KILLS")
    assert finish(start_driver(tmp_path / "store", 16)).startswith("64 of 64 runs are stored []")


def test_a_full_disk_leaves_whole_files_and_a_message(tmp_path: Path, log: Path) -> None:
    folder = tmp_path / "store"
    driver = start_driver(folder, 8, no_room=True)
    output, errors = driver.communicate(timeout=60)
    assert "0 of 32 runs are stored, 32 remain" in output
    assert "is the disk full?" in output
    assert "cannot write to" in errors
    assert not list(folder.rglob("*.npz*"))
    assert finish(start_driver(folder, 8)).startswith("32 of 32 runs are stored []")
