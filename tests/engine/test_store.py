"""The store: whole results, errors that are kept apart, and locks that die with their process."""

import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.common.errors import UserError
from experiments.engine.store import Failed, Part, StorageError, Store

GROUP, OTHER = "ab" * 32, "cd" * 32


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def part(members: tuple[str, ...] = ("a", "b"), seeds: tuple[int, ...] = (0, 1)) -> Part:
    shape = (len(members), len(seeds))
    curve = np.arange(np.prod(shape) * 5, dtype=np.float32).reshape(*shape, 5)
    return Part(members, seeds, {"curve": curve, "count": np.ones(shape, np.int32)}, {"x": 1})


def failed(members: tuple[str, ...], seeds: tuple[int, ...]) -> Failed:
    return Failed(members, seeds, "ValueError: no", "a traceback")


def test_a_result_comes_back_as_it_was(store: Store) -> None:
    assert store.load("toy", GROUP).known == set()
    saved = part()
    store.save("toy", GROUP, saved)
    group = store.load("toy", GROUP)
    (found,) = group.parts
    assert (found.members, found.seeds, found.about) == (("a", "b"), (0, 1), {"x": 1})
    result = group.result("b", 0)
    np.testing.assert_array_equal(result["curve"], saved.arrays["curve"][1, 0])
    assert (result["curve"].dtype, result["count"].dtype) == (np.float32, np.int32)
    assert group.result("c", 0) is None
    assert store.load("toy", OTHER).known == store.load("other", GROUP).known == set()


def test_parts_of_a_group_add_up(store: Store) -> None:
    store.save("toy", GROUP, part(("a",), (0, 1)))
    store.save("toy", GROUP, part(("b",), (1,)))
    assert store.load("toy", GROUP).finished == {("a", 0), ("a", 1), ("b", 1)}


def test_files_are_plain_npz(store: Store) -> None:
    store.save("toy", GROUP, part())
    (file,) = store.folder.rglob("*.npz")
    with np.load(file) as content:
        assert set(content.files) == {"curve", "count", "__about__"}


@pytest.mark.parametrize("damage", [b"", b"PK", "half"])
def test_a_damaged_file_is_as_good_as_absent(store: Store, damage: bytes | str) -> None:
    store.save("toy", GROUP, part())
    (file,) = store.folder.rglob("*.npz")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] if isinstance(damage, str) else damage)
    assert Store(store.folder).load("toy", GROUP).known == set()


def test_every_flipped_bit_is_noticed(store: Store) -> None:
    store.save("toy", GROUP, part())
    (file,) = store.folder.rglob("*.npz")
    content = file.read_bytes()
    chance = random.Random(0)
    for _ in range(600):
        place, bit = chance.randrange(len(content)), chance.randrange(8)
        flipped = bytearray(content)
        flipped[place] ^= 1 << bit
        file.write_bytes(flipped)
        assert Store(store.folder).load("toy", GROUP).known == set(), (place, bit)
    file.write_bytes(content)
    assert len(Store(store.folder).load("toy", GROUP).known) == 4


def test_a_failure_is_kept_until_it_is_forgotten_or_the_run_finishes(store: Store) -> None:
    store.save_failure("toy", GROUP, failed(("a",), (0, 1)))
    assert store.load("toy", GROUP).failures[("a", 1)] == failed(("a",), (0, 1))
    store.save("toy", GROUP, part(("a",), (1,)))
    group = store.load("toy", GROUP)
    assert (set(group.failures), group.finished) == ({("a", 0)}, {("a", 1)})
    store.forget_failures("toy", GROUP)
    assert store.load("toy", GROUP).known == {("a", 1)}


def test_a_result_that_cannot_be_written_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(StorageError, match="No space left on device"):
        store.save("toy", GROUP, part())
    assert not [file for file in store.folder.rglob("*") if GROUP in file.name]


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write to .*--store"):
        Store(tmp_path / "file" / "store")


def test_a_lock_belongs_to_one_process_and_dies_with_it(store: Store) -> None:
    hold = (
        "import sys; from pathlib import Path; from experiments.engine.store import Store;"
        "print(Store(Path(sys.argv[1])).try_lock(sys.argv[2]), flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(store.folder), GROUP],
        cwd=Path(__file__).resolve().parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout.readline() == b"True\n"
        with store.locked(GROUP) as has_lock:
            assert not has_lock
        with store.locked(OTHER) as has_lock:
            assert has_lock
    finally:
        holder.kill()
        holder.communicate()
    assert store.try_lock(GROUP)


def test_leftovers_of_killed_writers_are_removed(store: Store) -> None:
    store.save("toy", GROUP, part())
    leftover = store.folder / "toy" / GROUP[:2] / f".{GROUP}-0123.npz.4567.tmp"
    leftover.write_bytes(b"half")
    store.remove_leftovers()
    assert not leftover.exists()
    assert store.load("toy", GROUP).known


def test_a_store_goes_to_another_process(store: Store) -> None:
    store.save("toy", GROUP, part())
    assert pickle.loads(pickle.dumps(store)).load("toy", GROUP).known
