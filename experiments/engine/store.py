"""The store: one file a computed chunk, whole or absent, never computed twice.

`FOLDER/<measurement>/ab/<group>-<part>.npz` holds results of some members (settings of the fields
`together`) at some seeds of the group; `<group>-<part>.failed.json` the error that they raised.
The group is a hash of all that its numbers depend on, so a file is valid for ever, and grids that
overlap share files. A file ends with the SHA-256 of all before it, as the comment of a zip
archive: one that is damaged by a single bit is as good as absent.

Who computes a group holds its lock: a byte, chosen by the key, of the file `FOLDER/locks`. The
system gives it back when the process dies, however it dies. Locks spare work and guard nothing:
where a file system has none, a chunk computed twice is stored twice, with the same numbers.
"""

import contextlib
import fcntl
import hashlib
import io
import json
import os
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.common.atomic_file import TEMPORARY_SUFFIX, atomic_write
from experiments.common.errors import UserError

ABOUT = "__about__"
DIGEST_LENGTH = 64  # of a SHA-256 in hexadecimal
KEY_LENGTH = 64
RESULT, FAILURE = ".npz", ".failed.json"

Place = tuple[str, int]  # a member and a seed


class StorageError(Exception):
    """A result could not be written: a full disk, say."""


class Part(NamedTuple):
    """Results of a group: of every one of its members at every one of its seeds.

    Attributes:
      members: keys of members.
      seeds: seeds.
      arrays: [members, seeds, ...] by the name of the output.
      about: where they come from.
    """

    members: tuple[str, ...]
    seeds: tuple[int, ...]
    arrays: dict[str, np.ndarray]
    about: dict[str, Any]

    @property
    def places(self) -> set[Place]:
        """What it holds."""
        return {(member, seed) for member in self.members for seed in self.seeds}


class Failed(NamedTuple):
    """Runs of a group that raised an error together.

    Attributes:
      members: keys of members.
      seeds: seeds.
      error: kind and message, in one line.
      traceback: all of it.
    """

    members: tuple[str, ...]
    seeds: tuple[int, ...]
    error: str
    traceback: str


class Group(NamedTuple):
    """What is stored of a group.

    Attributes:
      parts: the results.
      failures: the error of each run that raised one and has no result.
    """

    parts: list[Part]
    failures: dict[Place, Failed]

    @property
    def finished(self) -> set[Place]:
        """The runs that have a result."""
        return {place for part in self.parts for place in part.places}

    @property
    def known(self) -> set[Place]:
        """The runs that have a result or failed."""
        return self.finished | set(self.failures)

    def result(self, member: str, seed: int) -> dict[str, np.ndarray] | None:
        """The outputs of a run; None where there is no result."""
        for part in self.parts:
            if member in part.members and seed in part.seeds:
                place = part.members.index(member), part.seeds.index(seed)
                return {name: values[place] for name, values in part.arrays.items()}
        return None


class Store:
    """The results in a folder; any number of processes and threads may share it."""

    def __init__(self, folder: Path) -> None:
        """Open the store, and make its folder where there is none.

        Raises:
          UserError: if the folder cannot be written.
        """
        self.folder = Path(folder)
        self._read: dict[Path, tuple[tuple[int, int], Part]] = {}
        self._guard = threading.Lock()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._locks = os.open(self.folder / "locks", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            reason = error.strerror or error
            raise UserError(
                f"cannot write to {folder}: {reason}; give another folder by --store"
            ) from error

    def __reduce__(self) -> tuple[Any, ...]:
        return open_store, (str(self.folder),)

    def load(self, measurement: str, group: str) -> Group:
        """What is stored of a group; damaged files are as good as absent."""
        parts: list[Part] = []
        failed: list[Failed] = []
        for path in self._files(measurement, group):
            if path.name.endswith(RESULT):
                part = self._part(path)
                parts += [] if part is None else [part]
            elif path.name.endswith(FAILURE):
                failed += _failures(path)
        found = Group(parts, {})
        finished = found.finished
        for failure in failed:
            for place in ((m, s) for m in failure.members for s in failure.seeds):
                if place not in finished:
                    found.failures[place] = failure
        return found

    def save(self, measurement: str, group: str, part: Part) -> None:
        """Store results, whole or not at all.

        Raises:
          StorageError: if they cannot be written.
        """
        about = part.about | {"members": part.members, "seeds": part.seeds}
        buffer = io.BytesIO()
        text = np.array(json.dumps(about, sort_keys=True))
        np.savez(buffer, **part.arrays, **{ABOUT: text})  # type: ignore[arg-type]
        self._write(self._file(measurement, group, part, RESULT), _signed(buffer.getvalue()))

    def save_failure(self, measurement: str, group: str, failure: Failed) -> None:
        """Record the error of runs.

        Raises:
          StorageError: if it cannot be written.
        """
        content = json.dumps(failure._asdict(), indent=2).encode()
        self._write(self._file(measurement, group, failure, FAILURE), content)

    def forget_failures(self, measurement: str, group: str) -> None:
        """Let runs that failed be tried again."""
        for path in self._files(measurement, group):
            if path.name.endswith(FAILURE):
                path.unlink(missing_ok=True)

    def remove(self, measurement: str, group: str, members: Sequence[str]) -> None:
        """Let members of a group be computed again, and what is stored with them."""
        for path in self._files(measurement, group):
            part = self._part(path) if path.name.endswith(RESULT) else None
            if part is None or set(part.members) & set(members):
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self, group: str) -> Iterator[bool]:
        """Hold the lock of a group; yields False where another process has it."""
        has_lock = self.try_lock(group)
        try:
            yield has_lock
        finally:
            if has_lock:
                self.unlock(group)

    def try_lock(self, group: str) -> bool:
        """Take the lock of a group; False where another process has it."""
        try:
            fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _lock_offset(group))
        except (BlockingIOError, PermissionError):
            return False
        except OSError:
            return True  # a file system without locks
        return True

    def unlock(self, group: str) -> None:
        """Give the lock of a group back."""
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, _lock_offset(group))

    def remove_leftovers(self) -> None:
        """Remove what writers that were killed left half-written; those at work keep theirs."""
        for leftover in self.folder.glob(f"*/??/.*{TEMPORARY_SUFFIX}"):
            group = leftover.name[1 : 1 + KEY_LENGTH]
            with self.locked(group) as has_lock:
                if has_lock:
                    leftover.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the store; the locks that are held are given back."""
        os.close(self._locks)

    def _part(self, path: Path) -> Part | None:
        """The content of a file, read again only if it changed; None if it is damaged."""
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            with self._guard:
                known = self._read.get(path)
            if known is not None and known[0] == stamp:
                return known[1]
            part = _part_in(path.read_bytes())
        except OSError:
            return None
        if part is not None:
            with self._guard:
                self._read[path] = (stamp, part)
        return part

    def _write(self, path: Path, content: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, content)
        except OSError as error:
            reason = error.strerror or error
            raise StorageError(f"cannot write to {self.folder}: {reason}") from error

    def _files(self, measurement: str, group: str) -> list[Path]:
        """The files of a group, in order."""
        folder = self._folder(measurement, group)
        try:
            names = os.listdir(folder)  # noqa: PTH208 - quicker than Path.glob for many groups
        except OSError:
            return []
        return [folder / name for name in sorted(names) if name.startswith(f"{group}-")]

    def _folder(self, measurement: str, group: str) -> Path:
        return self.folder / measurement / group[:2]

    def _file(self, measurement: str, group: str, part: Part | Failed, suffix: str) -> Path:
        places = json.dumps([part.members, part.seeds]).encode()
        name = f"{group}-{hashlib.sha256(places).hexdigest()[:16]}{suffix}"
        return self._folder(measurement, group) / name


_open: dict[str, Store] = {}
_opening = threading.Lock()


def open_store(folder: str) -> Store:
    """The store in a folder, opened once in a process."""
    with _opening:
        if folder not in _open:
            _open[folder] = Store(Path(folder))
        return _open[folder]


def _signed(archive: bytes) -> bytes:
    """A zip archive with the SHA-256 of its bytes as its comment."""
    body = archive[:-2] + struct.pack("<H", DIGEST_LENGTH)  # the length of the comment comes last
    return body + hashlib.sha256(body).hexdigest().encode()


def _part_in(content: bytes) -> Part | None:
    body, digest = content[:-DIGEST_LENGTH], content[-DIGEST_LENGTH:]
    if hashlib.sha256(body).hexdigest().encode() != digest:
        return None
    with np.load(io.BytesIO(content)) as file:
        arrays = {name: file[name] for name in file.files}
    about = json.loads(arrays.pop(ABOUT).item())
    members, seeds = tuple(about.pop("members")), tuple(about.pop("seeds"))
    return Part(members, seeds, arrays, about)


def _failures(path: Path) -> list[Failed]:
    try:
        content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        members, seeds = tuple(content["members"]), tuple(content["seeds"])
        return [Failed(members, seeds, str(content["error"]), str(content["traceback"]))]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _lock_offset(group: str) -> int:
    return int(group[:12], 16)
