"""The result store: one file per finished run, whole or absent, and never computed twice.

`FOLDER/ab/<key>.npz` holds the results of a run and what it was; `FOLDER/ab/<key>.failed.json`
the error of a run that raised one. The key is a hash of the resolved config and of the code, so
a file is valid for ever, sweeps that overlap share files, and a file that is there needs no run.

Who computes a run holds its lock: a byte, chosen by the key, of the file `FOLDER/locks`. The
system gives it back when the process dies, however it dies. Locks spare work and guard nothing:
where a file system has none, a run computed twice is stored twice, with the same numbers.
"""

import contextlib
import fcntl
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.common.atomic_file import TEMPORARY_SUFFIX, atomic_write
from experiments.common.errors import UserError

ABOUT = "__about__"
KEY_LENGTH = 64


class StorageError(Exception):
    """A result could not be written: a full disk, say."""


class Result(NamedTuple):
    """A finished run: its metrics by name, and where they come from."""

    arrays: dict[str, np.ndarray]
    about: dict[str, Any]


def run_key(experiment: str, code: str, config: Mapping[str, Any]) -> str:
    """SHA-256 of all that the results of a run depend on."""
    content = {"experiment": experiment, "code": code, "config": dict(config)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class Store:
    """The results in a folder, by key; any number of processes may share it."""

    def __init__(self, folder: Path) -> None:
        """Open the store, and make its folder where there is none.

        Raises:
          UserError: if the folder cannot be written.
        """
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._locks = os.open(folder / "locks", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            reason = error.strerror or error
            raise UserError(
                f"cannot write to {folder}: {reason}; give another folder by --out_dir"
            ) from error

    def has(self, key: str) -> bool:
        """Whether the run is finished."""
        return self._result_file(key).exists()

    def has_failed(self, key: str) -> bool:
        """Whether the run raised an error and has not been finished since."""
        return self._failure_file(key).exists() and not self.has(key)

    def pending(self, keys: Iterable[str]) -> list[str]:
        """The keys of the runs that are neither finished nor failed, in order."""
        return [key for key in keys if not (self.has(key) or self.has_failed(key))]

    def load(self, key: str) -> Result | None:
        """A finished run; None where it is missing or its file is damaged."""
        try:
            with np.load(io.BytesIO(self._result_file(key).read_bytes())) as file:
                arrays = {name: file[name] for name in file.files}
            return Result(arrays, json.loads(arrays.pop(ABOUT).item()))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None

    def failure(self, key: str) -> dict[str, Any] | None:
        """What went wrong in a run that failed; None for any other."""
        try:
            return json.loads(self._failure_file(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def save(self, key: str, result: Result) -> None:
        """Store a finished run, whole or not at all.

        Raises:
          StorageError: if it cannot be written.
        """
        buffer = io.BytesIO()
        about = np.array(json.dumps(result.about, sort_keys=True))
        np.savez(buffer, **result.arrays, **{ABOUT: about})  # type: ignore[arg-type]
        self._write(self._result_file(key), buffer.getvalue())
        self.forget_failure(key)

    def save_failure(self, key: str, failure: Mapping[str, Any]) -> None:
        """Record what went wrong in a run.

        Raises:
          StorageError: if it cannot be written.
        """
        self._write(self._failure_file(key), json.dumps(dict(failure), indent=2).encode())

    def forget_failure(self, key: str) -> None:
        """Let a failed run be tried again."""
        self._failure_file(key).unlink(missing_ok=True)

    def remove(self, key: str) -> None:
        """Let a run be computed again."""
        self._result_file(key).unlink(missing_ok=True)
        self.forget_failure(key)

    def try_lock(self, key: str) -> bool:
        """Take the lock of a run; False where another process has it."""
        try:
            fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _lock_offset(key))
        except (BlockingIOError, PermissionError):
            return False
        except OSError:
            return True  # a file system without locks
        return True

    def unlock(self, key: str) -> None:
        """Give the lock of a run back."""
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, _lock_offset(key))

    def remove_leftovers(self) -> None:
        """Remove what writers that were killed left half-written; those at work keep theirs."""
        for leftover in self.folder.glob(f"??/.*{TEMPORARY_SUFFIX}"):
            key = leftover.name[1 : 1 + KEY_LENGTH]
            if self.try_lock(key):
                leftover.unlink(missing_ok=True)
                self.unlock(key)

    def close(self) -> None:
        """Close the store; the locks that are held are given back."""
        os.close(self._locks)

    def _write(self, path: Path, content: bytes) -> None:
        try:
            path.parent.mkdir(exist_ok=True)
            atomic_write(path, content)
        except OSError as error:
            raise StorageError(f"cannot write to {path.parent}: {error.strerror}") from error

    def _result_file(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.npz"

    def _failure_file(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.failed.json"


def _lock_offset(key: str) -> int:
    return int(key[:12], 16)
