"""Kill workers and drivers of a sweep at random moments, and check what comes out at the end.

`python -m tests.engine.kill_the_workers FOLDER NUM_WORKER_KILLS NUM_DRIVER_KILLS`, with small
numbers by `test_cluster_kills.py`, and by hand with larger ones. After each driver a stored file is
deleted. Nothing that was stored may be lost or changed, and the end must be the
bytes of a sweep in one process that nobody disturbed. Prints what it counted.
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

from experiments.engine import dataset, execution
from experiments.engine.store import Store
from tests.engine.kill_the_toy import contents_of, make
from tests.engine.toy_measurement import MEASUREMENT, computed_runs

NUM_WORKERS = 3
NUM_SEEDS = 400
SECONDS_BETWEEN_KILLS = 0.5
SHARE_OF_KILLS_AT_WORK = 0.7


def start_driver(folder: Path) -> subprocess.Popen:
    command = ["tests.engine.sweep_process", folder, NUM_SEEDS, NUM_WORKERS]
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def workers_of(driver: int) -> list[int]:
    """The processes of a driver that compute."""
    try:
        threads = list(Path(f"/proc/{driver}/task").iterdir())
        children = [pid for t in threads for pid in (t / "children").read_text().split()]
    except OSError:
        return []
    return [int(pid) for pid in children if "spawn_main" in _command(pid)]


def _command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.01)


def disturb(folder: Path, log: Path, chance: random.Random, kills: list[str]) -> None:
    """Start a driver, and kill its workers in any order and in the end itself, as told."""
    driver = start_driver(folder)
    for kind in kills:
        if chance.random() < SHARE_OF_KILLS_AT_WORK:  # otherwise while they start, as a rule
            size = log.stat().st_size
            wait_until(lambda size=size: log.stat().st_size > size or driver.poll() is not None)
        time.sleep(chance.expovariate(1 / SECONDS_BETWEEN_KILLS))
        wait_until(lambda: workers_of(driver.pid) or driver.poll() is not None)
        assert driver.poll() is None, f"it ended by itself: {driver.communicate()[0]}"
        workers = workers_of(driver.pid)
        assert kill(driver.pid if kind == "driver" else chance.choice(workers))
    driver.communicate(timeout=60)
    wait_until(lambda: not any(_is_alive(pid) for pid in workers), 20)  # they end with it


def _is_alive(pid: int) -> bool:
    return "spawn_main" in _command(str(pid))


def stored(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*.npz")}


def main() -> None:
    folder, (num_worker_kills, num_driver_kills) = Path(sys.argv[1]), map(int, sys.argv[2:])
    log = folder / "computed.log"
    log.touch()
    os.environ |= {"TOY_LOG": str(log), "TOY_SECONDS": "0.2"}
    chance = random.Random(0)
    rounds = [["driver"] for _ in range(num_driver_kills)]
    for _ in range(num_worker_kills):
        chance.choice(rounds).insert(0, "worker")
    known: dict[str, bytes] = {}
    num_deleted = 0
    for kills in rounds:
        disturb(folder / "store", log, chance, kills)
        now = stored(folder / "store")
        lost = {path for path, content in known.items() if now.get(path) != content}
        assert not [path for path in lost if Path(path).exists()], "a stored result changed"
        assert not lost, "a stored result was lost"
        if now:
            victim = chance.choice(sorted(now))
            Path(victim).unlink()
            del now[victim]
            num_deleted += 1
        known = now
    assert 0 < len(known) < NUM_SEEDS, "the kills hit a sweep at work"
    os.environ["TOY_SECONDS"] = "0"
    output, _ = start_driver(folder / "store").communicate(timeout=120)
    num_runs = 4 * NUM_SEEDS
    assert output.startswith(f"{num_runs} of {6 * NUM_SEEDS} runs are stored"), output
    assert output.endswith("make no sense []\n"), output
    assert not list(folder.rglob("*.tmp"))
    counts = collections.Counter(computed_runs(log))
    assert len(counts) == num_runs
    again = counts.total() - num_runs
    at_hand = MEASUREMENT.seeds_per_chunk * (num_worker_kills + NUM_WORKERS * num_driver_kills)
    assert again <= at_hand + MEASUREMENT.seeds_per_chunk * num_deleted, again
    os.environ["TOY_LOG"] = os.devnull
    plan = make(NUM_SEEDS)
    undisturbed = Store(folder / "undisturbed")
    execution.execute(plan, undisturbed)
    here, there = (
        contents_of(plan, dataset.merged(plan, store))
        for store in (undisturbed, Store(folder / "store"))
    )
    assert here == there
    print(f"{num_worker_kills} workers, {num_driver_kills} drivers, {again} runs computed again")


if __name__ == "__main__":
    main()
