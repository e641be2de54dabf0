"""Chunks on workers of Dask: the same bytes as in one process, errors told, nothing left behind."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import pytest

from experiments.common.errors import UserError
from experiments.engine import cluster, dataset, execution, open_cluster, remote
from experiments.engine.plan import Plan
from experiments.engine.store import Store
from tests.engine.kill_the_toy import contents_of, make
from tests.engine.test_kills import start

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[open_cluster.Connection]:
    request = open_cluster.Request(None, 2, {})
    with request.opened(2, tmp_path_factory.mktemp("store")) as connection:
        connection.client.wait_for_workers(2, timeout=60)
        yield connection


@pytest.fixture
def compute(connection: open_cluster.Connection) -> cluster.Executor:
    """What computes a plan on workers that run already."""
    return cluster.executor(cluster=connection.client.scheduler.address)


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def contents(plan: Plan, store: Store) -> dict[str, bytes]:
    return contents_of(plan, dataset.merged(plan, store))


def test_without_workers_nothing_of_dask_is_imported() -> None:
    code = """
import sys
from pathlib import Path
from experiments.engine import cluster, store
from tests.engine.kill_the_toy import make
import tempfile
with tempfile.TemporaryDirectory() as folder:
    outcome = cluster.executor()(make(1), store.Store(Path(folder)), lambda num_runs: None)
assert len(outcome.finished) == 4, outcome
print([name for name in ("dask", "distributed", "experiments.engine.open_cluster")
       if name in sys.modules])
"""
    assert run(code).strip() == "[]"


def test_workers_leave_the_same_bytes_as_one_process(
    tmp_path: Path, compute: cluster.Executor
) -> None:
    plan = make(9)
    here, there = Store(tmp_path / "here"), Store(tmp_path / "there")
    execution.execute(plan, here)
    watched: list[int] = []
    outcome = compute(plan, there, watched.append)
    assert outcome.summary() == "36 of 54 runs are stored, 18 make no sense"
    assert sum(watched) == 36
    assert contents(plan, here) == contents(plan, there)
    watched.clear()
    compute(plan, there, watched.append)
    assert watched == [36]  # nothing is computed twice


def test_runs_that_raise_are_recorded_as_in_one_process(
    tmp_path: Path,
    connection: open_cluster.Connection,
    compute: cluster.Executor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOY_FAILS", "3")
    connection.client.run(lambda: os.environ.update(TOY_FAILS="3"))
    plan = make(6)
    here = execution.execute(plan, Store(tmp_path / "here"))
    there = compute(plan, Store(tmp_path / "there"), lambda num_runs: None)
    connection.client.run(lambda: os.environ.pop("TOY_FAILS"))
    assert [run for run, _ in here.failed] == [run for run, _ in there.failed]
    assert {failed.error for _, failed in there.failed} == {"RuntimeError: this seed is unlucky"}
    assert len(there.failed) == 4
    assert len(there.finished) == len(here.finished) == 20


def test_a_chunk_that_another_process_computes_is_waited_for(
    tmp_path: Path, compute: cluster.Executor
) -> None:
    plan = make(4)
    code = f"""
from pathlib import Path
from experiments.engine.store import Store
store = Store(Path({str(tmp_path)!r}))
assert store.try_lock({plan.chunks[0].group!r})
print("locked", flush=True)
time.sleep(60)
"""
    holder = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"locked\n"
    watched: list[int] = []

    def watch(num_runs: int) -> None:
        watched.append(num_runs)
        if sum(watched) == 12:  # all others
            holder.kill()

    outcome = compute(plan, Store(tmp_path), watch)
    holder.communicate()
    assert len(outcome.finished) == 16
    assert watched == [0, 4, 4, 4, 4]


def test_one_run_alone_gives_the_same_bits(tmp_path: Path) -> None:
    (chunk, *_) = make(4).chunks
    whole, alone = Store(tmp_path / "whole"), Store(tmp_path / "alone")
    execution.compute_chunk(chunk, whole)
    for seed in chunk.seeds:
        execution.compute_chunk(cluster._of_one_run(chunk, chunk.members[0], seed), alone)
    for seed in chunk.seeds:
        results = [
            store.load(chunk.measurement, chunk.group).result(chunk.members[0], seed)
            for store in (whole, alone)
        ]
        assert {n: v.tobytes() for n, v in results[0].items()} == {
            n: v.tobytes() for n, v in results[1].items()
        }
    assert all(len(part.seeds) == 1 for part in alone.load(chunk.measurement, chunk.group).parts)


def test_a_worker_needs_to_know_nothing_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told the folder, where modules are looked for, and the settings of JAX."""
    plan = make(4)
    monkeypatch.setenv("JAX_ENABLE_X64", "0")
    content = cloudpickle.dumps(remote.compute_like_here())
    (tmp_path / "function").write_bytes(content)
    (tmp_path / "chunk").write_bytes(remote.packed(plan.chunks[0], tmp_path / "store"))
    monkeypatch.delenv("JAX_ENABLE_X64")
    code = """
import os, pathlib, pickle
pickle.loads(pathlib.Path("function").read_bytes())(pathlib.Path("chunk").read_bytes())
print(os.getcwd(), os.environ["JAX_ENABLE_X64"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split("\n")[0] == f"{Path.cwd()} 0", done.stderr
    assert len(list((tmp_path / "store").rglob("*.npz"))) == 1


def test_a_worker_that_does_not_see_the_folder_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    compute = remote.compute_like_here()
    monkeypatch.setattr(os, "chdir", lambda folder: (_ for _ in ()).throw(FileNotFoundError("no")))
    paths = list(sys.path)
    with pytest.raises(ConnectionError, match=f"cannot work in {tmp_path}: no"):
        compute(b"")
    sys.path[:] = paths


def test_where_there_are_several_gpus_a_worker_sees_one(
    connection: open_cluster.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert open_cluster._gpus() == ("3", "5")
    compute = remote.compute_like_here(open_cluster._gpus())
    with pytest.raises(EOFError):  # of an empty chunk
        connection.client.submit(compute, b"", pure=False).result()
    workers = connection.client.scheduler_info()["workers"]
    connection.client.gather(
        [
            connection.client.submit(_failing(compute), pure=False, workers=[address])
            for address in workers
        ]
    )
    seen = connection.client.run(lambda: os.environ.get("CUDA_VISIBLE_DEVICES"))
    assert seen == {a: ("3", "5")[int(about["name"])] for a, about in workers.items()}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert open_cluster._gpus() == ()


def _failing(compute: object) -> object:
    def attempt() -> None:
        try:
            compute(b"")
        except EOFError:
            return

    return attempt


def test_any_class_of_clusters_serves(tmp_path: Path) -> None:
    compute = cluster.executor(
        1,
        "distributed.LocalCluster",
        {"n_workers": "0", "threads_per_worker": "1", "dashboard_address": "127.0.0.1:0"},
    )
    outcome = compute(make(4), Store(tmp_path), lambda num_runs: None)
    assert len(outcome.finished) == 16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1,), "--workers is -1; it must be 0 or more"),
        ((2, None, {"queue": "gpu"}), "--cluster.queue needs a --cluster, such as slurm"),
        ((2, "slrm"), r"--cluster=slrm is unknown: did you mean slurm\?"),
        ((0, "slurm"), "--cluster=slurm needs a number of workers: add --workers=16"),
        ((2, "ssh"), "--cluster=ssh needs machines: add --cluster.hosts="),
        ((2, "no_package.Cluster"), "--cluster=no_package.Cluster does not exist"),
        ((0, "tcp://127.0.0.1:8786", {"a": "1"}), "--cluster.a comes too late: it runs"),
    ],
)
def test_mistakes_are_told_before_anything_starts(arguments: tuple, message: str) -> None:
    with pytest.raises(UserError, match=message):
        cluster.executor(*arguments)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("slurm", {}, "needs the memory of a job: add --cluster.memory=4GB"),
        ("slurm", {"memory": "1GB", "qeue": "x"}, "unexpected keyword argument 'qeue'"),
        ("distributed.SpecCluster", {"workrs": "1"}, "unexpected keyword argument 'workrs'"),
    ],
)
def test_what_a_cluster_does_not_take_is_told_in_one_line(
    tmp_path: Path, name: str, options: dict, message: str
) -> None:
    flags = [f"--cluster.{option}={value}" for option, value in options.items()]
    folders = [f"--store={tmp_path / 'store'}", f"--out_dir={tmp_path / 'out'}"]
    toy = ["experiments.sweep", "tests.engine.toy_measurement", "--grid.k=2,4"]
    sweep = start(*toy, *folders, "--workers=2", f"--cluster={name}", *flags)
    output, errors = sweep.communicate(timeout=60)
    assert sweep.returncode == 2
    assert message in errors.strip().splitlines()[-1]
    assert "Traceback" not in output + errors


@pytest.mark.parametrize(("arguments", "flag"), [((2,), "--workers"), ((2, "slurm"), "--cluster")])
def test_without_dask_the_message_says_what_to_install(
    arguments: tuple, flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "experiments.engine.open_cluster", raising=False)
    monkeypatch.delattr("experiments.engine.open_cluster", raising=False)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=rf'{flag} needs distributed: pip install "\.\[cluster\]"'):
        cluster.executor(*arguments)
