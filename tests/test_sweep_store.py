"""The store: whole results, errors that are kept apart, and locks that die with their process."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.common.errors import UserError
from experiments.sweeps.store import Result, StorageError, Store, run_key

KEY = run_key("toy", "code", {"k": 1})
OTHER = run_key("toy", "code", {"k": 2})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def test_a_key_changes_with_all_that_a_result_depends_on() -> None:
    keys = {KEY, OTHER, run_key("toy", "other", {"k": 1}), run_key("other", "code", {"k": 1})}
    assert len(keys) == 4
    assert run_key("toy", "code", {"a": 1, "b": 2}) == run_key("toy", "code", {"b": 2, "a": 1})


def test_a_result_comes_back_as_it_was(store: Store) -> None:
    arrays = {"curve": np.linspace(0, 1, 5, dtype=np.float32), "count": np.int32(3)}
    assert store.load(KEY) is None
    store.save(KEY, Result(arrays, {"config": {"k": 1}}))
    result = store.load(KEY)
    assert result.about == {"config": {"k": 1}}
    for name, values in arrays.items():
        np.testing.assert_array_equal(result.arrays[name], values, strict=False)
        assert result.arrays[name].dtype == values.dtype
    assert store.has(KEY)
    assert store.pending([OTHER, KEY]) == [OTHER]


@pytest.mark.parametrize("damage", [b"", b"PK", "half", "flip"])
def test_a_damaged_file_is_no_result(store: Store, damage: bytes | str) -> None:
    store.save(KEY, Result({"curve": np.arange(100.0)}, {}))
    (file,) = store.folder.rglob("*.npz")
    content = file.read_bytes()
    if damage == "half":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        file.write_bytes(content[:300] + bytes([content[300] ^ 1]) + content[301:])
    else:
        file.write_bytes(damage)
    assert store.load(KEY) is None


def test_a_failure_is_kept_until_it_is_forgotten_or_the_run_finishes(store: Store) -> None:
    store.save_failure(KEY, {"error": "ValueError: no"})
    store.save_failure(OTHER, {"error": "ValueError: no"})
    assert store.has_failed(KEY)
    assert store.failure(KEY) == {"error": "ValueError: no"}
    assert store.pending([KEY, OTHER]) == []
    store.forget_failure(KEY)
    assert store.pending([KEY, OTHER]) == [KEY]
    store.save(OTHER, Result({}, {}))
    assert store.failure(OTHER) is None


def test_a_result_that_cannot_be_written_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(StorageError, match="No space left on device"):
        store.save(KEY, Result({}, {}))
    assert not [file for file in store.folder.rglob("*") if KEY in file.name]


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write to .*--out_dir"):
        Store(tmp_path / "file" / "runs")


def test_a_lock_belongs_to_one_process_and_dies_with_it(store: Store) -> None:
    hold = (
        "import sys; from pathlib import Path; from experiments.sweeps.store import Store;"
        "print(Store(Path(sys.argv[1])).try_lock(sys.argv[2]), flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(store.folder), KEY],
        cwd=Path(__file__).resolve().parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline() == b"True\n"
        assert not store.try_lock(KEY)
        assert store.try_lock(OTHER)
    finally:
        holder.kill()
        holder.communicate()
    assert store.try_lock(KEY)


def test_leftovers_of_killed_writers_are_removed(store: Store) -> None:
    store.save(KEY, Result({}, {}))
    leftover = store.folder / KEY[:2] / f".{KEY}.npz.0123.tmp"
    leftover.write_bytes(b"half")
    store.remove_leftovers()
    assert not leftover.exists()
    assert store.has(KEY)
