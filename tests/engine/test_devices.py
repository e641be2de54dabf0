"""Threads and devices of one process: the same numbers, bit for bit, and one program each."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

from experiments.engine import dataset, execution, grid, measurement
from experiments.engine.plan import Plan, make_plan
from experiments.engine.store import Store
from tests.engine import jax_measurement

ROOT = Path(__file__).resolve().parents[2]
NAME = "tests.engine.jax_measurement"
AXES = {"k": "1,2,4", "learning_rate": "0.1,0.3", "seed": "0:12"}


def plan_of(**axes: object) -> Plan:
    loaded = measurement.load(NAME)
    return make_plan(NAME, loaded, {}, grid.parse_axes(loaded.fields, grid=axes))


def contents(plan: Plan, folder: Path, **options: int) -> bytes:
    store = Store(folder)
    outcome = execution.execute(plan, store, **options)
    assert not [*outcome.remaining, *outcome.failed], [
        failure.error for _, failure in outcome.failed[:1]
    ]
    return dataset.to_bytes(dataset.merged(plan, store))


@pytest.fixture(scope="module")
def one_thread(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return contents(plan_of(**AXES), tmp_path_factory.mktemp("one"), threads=1)


def test_threads_change_nothing(tmp_path: Path, one_thread: bytes) -> None:
    assert contents(plan_of(**AXES), tmp_path, threads=4) == one_thread


def test_runs_that_were_stored_by_another_grid_change_nothing(
    tmp_path: Path, one_thread: bytes
) -> None:
    contents(plan_of(k="4", learning_rate="0.3,0.5", seed="9"), tmp_path)
    assert contents(plan_of(**AXES), tmp_path) == one_thread


def test_chunks_that_differ_in_traced_fields_share_one_program(tmp_path: Path) -> None:
    jax_measurement.programs.clear()
    plan = plan_of(**AXES, group_size="9,10")
    contents(plan, tmp_path, threads=4)
    assert sorted(jax_measurement.programs) == [9, 10]
    assert (plan.num_programs, len(plan.chunks)) == (2, 24)


def test_four_devices_change_nothing(tmp_path: Path, one_thread: bytes) -> None:
    flags = [f"--grid.{field}={values}" for field, values in AXES.items()]
    folders = [f"--store={tmp_path / 'store'}", f"--out_dir={tmp_path}"]
    devices = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    subprocess.run(
        [sys.executable, "-m", "experiments.sweep", NAME, *flags, *folders],
        cwd=ROOT,
        env=os.environ | devices,
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "sweep.nc").read_bytes() == one_thread
    values = xr.load_dataset(tmp_path / "sweep.nc").best.values
    assert values.std() > 0
