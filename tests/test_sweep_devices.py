"""Runs over several devices and several processes: the same numbers, bit for bit."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from maxpo_jax import sharding

ROOT = Path(__file__).resolve().parents[1]
SWEEP = (
    "--experiment=tests.jax_sweep",
    "--config=tests/jax_sweep.py",
    "--grid=k=1,2,4",
    "--grid=learning_rate=0.1,0.3",
    "--seeds=0:3",
)


def start(out_dir: Path, *flags: str, num_devices: int = 1) -> subprocess.Popen:
    devices = f"--xla_force_host_platform_device_count={num_devices}"
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.sweep", *SWEEP, f"--out_dir={out_dir}", *flags],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": devices, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen) -> str:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def one_device(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("one_device")
    finish(start(folder, "--workers=1"))
    dataset = xr.load_dataset(folder / "sweep.nc")
    assert dict(dataset.sizes) == {"k": 3, "learning_rate": 2, "seed": 3, "step": 12}
    assert dataset.best.values.std() > 0
    return (folder / "sweep.nc").read_bytes()


def test_other_runs_in_a_chunk_change_nothing(tmp_path: Path, one_device: bytes) -> None:
    finish(start(tmp_path, "--workers=1", "--seeds=1:2"))  # later these runs are stored already
    finish(start(tmp_path, "--workers=1"))
    assert (tmp_path / "sweep.nc").read_bytes() == one_device


def test_four_devices_change_nothing(tmp_path: Path, one_device: bytes) -> None:
    finish(start(tmp_path, "--workers=1", num_devices=4))
    assert (tmp_path / "sweep.nc").read_bytes() == one_device


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_two_processes_change_nothing(tmp_path: Path, one_device: bytes) -> None:
    address = f"--coordinator=127.0.0.1:{free_port()}"
    flags = ("--distributed", address, "--num_processes=2")
    processes = [
        start(tmp_path, *flags, f"--process_id={number}", num_devices=2) for number in range(2)
    ]
    try:
        outputs = [finish(process) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert "18 of 18 runs are stored" in outputs[0]
    assert "runs are stored" not in outputs[1]
    assert (tmp_path / "sweep.nc").read_bytes() == one_device


def test_an_array_is_split_over_all_devices_that_divide_it() -> None:
    code = (
        "import jax, numpy as np; from maxpo_jax import sharding;"
        "split = [sharding.split_over_devices(np.arange(n)) for n in (8, 6, 3)];"
        "print([len(a.sharding.device_set) for a in split]);"
        "print([sharding.to_host(a + 1).tolist() for a in split])"
    )
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | flags, capture_output=True
    )
    expected = [list(range(1, n + 1)) for n in (8, 6, 3)]
    assert answer.stdout.decode().splitlines() == ["[4, 2, 1]", str(expected)]


def test_host_arrays_pass_through() -> None:
    values = np.arange(3)
    np.testing.assert_array_equal(sharding.to_host(values), values)
