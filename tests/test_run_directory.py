"""Run directories: killed at any step, they hold the old result or the new one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from experiments import run_directory
from experiments.common.errors import UserError
from experiments.parts import Part, PartStore
from experiments.run_directory import DamagedDataError, RunDirectory, opened

ROOT = Path(__file__).resolve().parents[1]


def a_dataset() -> xr.Dataset:
    variables = {
        "variance": (("estimator", "draw"), np.arange(6.0).reshape(2, 3), {"units": "1"}),
        "finite": ("draw", np.array([True, False, True])),
        "count": ("draw", np.array([1, 2, 3], dtype=np.int32)),
    }
    return xr.Dataset(variables, coords={"estimator": ["maxpo", "ei"]}, attrs={"config": "{}"})


def test_a_run_killed_at_any_step_leaves_the_old_result_or_the_new_one(tmp_path: Path) -> None:
    program = Path(__file__).with_name("kill_the_toy.py")
    search_path = os.pathsep.join([str(ROOT), str(program.parent)])
    finished = subprocess.run(
        [sys.executable, str(program), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": search_path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert int(finished.stdout) > 25


def test_a_dataset_comes_back_as_it_was() -> None:
    content = run_directory.dataset_to_bytes(a_dataset())
    read = run_directory.dataset_from_bytes(content)
    xr.testing.assert_identical(read, a_dataset())
    assert {name: v.dtype for name, v in read.data_vars.items()} == {
        name: v.dtype for name, v in a_dataset().data_vars.items()
    }
    assert run_directory.dataset_to_bytes(read) == content


def test_an_interrupted_commit_is_finished_by_the_next_to_open(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        directory.commit({"a": b"old", "b": b"old"})
    (tmp_path / ".committed").mkdir()
    (tmp_path / ".committed/b").write_bytes(b"new")
    (tmp_path / "a").write_bytes(b"new")  # moved already
    with opened(tmp_path):
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == b"new"
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}


def test_an_unfinished_commit_and_temporary_files_are_removed(tmp_path: Path) -> None:
    with opened(tmp_path) as directory:
        directory.commit({"a": b"old"})
    (tmp_path / ".pending").mkdir()
    (tmp_path / ".pending/a").write_bytes(b"ne")
    (tmp_path / ".part.nc.0123.tmp").write_bytes(b"x")
    with opened(tmp_path):
        assert {path.name for path in tmp_path.iterdir()} == {"a"}
        assert (tmp_path / "a").read_bytes() == b"old"


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "claims.json"
    run_directory.atomic_write(file, b"old")

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        run_directory.atomic_write(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        opened(tmp_path),
        pytest.raises(UserError, match="another process works in"),
        opened(tmp_path),
    ):
        pass
    with opened(tmp_path):
        pass


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "data.nc").unlink(),
        lambda folder: (folder / "data.nc").write_bytes(b""),
        lambda folder: (folder / "manifest.json").write_text("{"),
        lambda folder: (folder / "manifest.json").write_text("[]"),
        lambda folder: (folder / "manifest.json").write_bytes(b"\xff"),
    ],
)
def test_damage_is_noticed(tmp_path: Path, damage: object) -> None:
    directory = RunDirectory(tmp_path)
    content = run_directory.dataset_to_bytes(a_dataset())
    manifest = f'{{"data_sha256": "{run_directory.sha256(content)}"}}'.encode()
    directory.commit({"data.nc": content, "manifest.json": manifest})
    stored = directory.stored()
    assert stored is not None
    xr.testing.assert_identical(stored.dataset, a_dataset())
    damage(tmp_path)
    with pytest.raises(DamagedDataError):
        directory.stored()


def test_a_part_is_valid_for_its_key_alone(tmp_path: Path) -> None:
    store = PartStore(tmp_path / "parts", "key")
    store.save("n=2", Part(a_dataset(), 1.5))
    part = store.load("n=2")
    assert part is not None
    xr.testing.assert_identical(part.dataset, a_dataset())
    assert part.wall_seconds == 1.5
    assert store.load("n=4") is None
    other = PartStore(tmp_path / "parts", "other")
    assert other.load("n=2") is None
    other.remove_own()
    assert store.load("n=2") is not None
    store.remove_own()
    assert not (tmp_path / "parts").exists()


def test_a_damaged_part_counts_as_missing(tmp_path: Path) -> None:
    store = PartStore(tmp_path / "parts", "key")
    store.save("n=2", Part(a_dataset(), 1.5))
    file = tmp_path / "parts/n=2.nc"
    for content in (b"", b"text", file.read_bytes()[:-100]):
        file.write_bytes(content)
        assert store.load("n=2") is None


@pytest.mark.parametrize("name", ["", "a/b", "../up", ".hidden", "a b"])
def test_a_part_name_must_be_a_file_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a file name"):
        PartStore(tmp_path, "key").save(name, Part(a_dataset(), 0.0))
