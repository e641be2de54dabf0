"""Run directories: where the result of an experiment is stored, whole or not at all.

`OUT_DIR/<name>/` holds `config.json`, `manifest.json`, `data.nc`, `<name>.png` and `<name>.pdf`,
and `parts/` while a result is unfinished. New files are written beside the old ones, in a folder
`.pending`, whose renaming to `.committed` is the one instant at which the new result replaces the
old. Moving the files into place comes after; if that is interrupted, whoever opens the directory
next finishes it. So a reader through `opened` sees the old result or the new one, never a mixture.
"""

import contextlib
import fcntl
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from experiments.common.atomic_file import (
    TEMPORARY_SUFFIX,
    atomic_write,
    check_writable,
    sync_folder,
    write_and_sync,
)
from experiments.common.errors import UserError

__all__ = [
    "DamagedDataError",
    "RunDirectory",
    "Stored",
    "atomic_write",
    "check_writable",
    "dataset_from_bytes",
    "dataset_to_bytes",
    "opened",
    "sha256",
]

DATA = "data.nc"
MANIFEST = "manifest.json"
CONFIG = "config.json"


class Stored(NamedTuple):
    """A result that is stored whole: its manifest and its data, which match."""

    manifest: dict[str, Any]
    dataset: xr.Dataset


class DamagedDataError(Exception):
    """The stored data are missing, or not those that the manifest describes."""


class RunDirectory:
    """The folder of one experiment's result; get one from `opened`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pending = path / ".pending"
        self._committed = path / ".committed"

    def commit(self, files: Mapping[str, bytes]) -> None:
        """Replace the named files all at once, on disk before this returns."""
        self._pending.mkdir()
        for name, content in files.items():
            write_and_sync(self._pending / name, content)
        sync_folder(self._pending)
        os.rename(self._pending, self._committed)  # noqa: PTH104 - the commit
        sync_folder(self.path)
        self._finish_commit()

    def recover(self) -> None:
        """Finish a commit that was interrupted, and remove what an interrupted write left."""
        self._finish_commit()
        shutil.rmtree(self._pending, ignore_errors=True)
        for leftover in self.path.rglob(f".*{TEMPORARY_SUFFIX}"):
            leftover.unlink()

    def stored(self) -> Stored | None:
        """The stored result, or None where there is none.

        Raises:
          DamagedDataError: if a manifest is there but its data are not.
        """
        manifest_file = self.path / MANIFEST
        if not manifest_file.exists():
            return None
        try:
            manifest = json.loads(manifest_file.read_text(encoding="utf-8"))
            content = (self.path / DATA).read_bytes()
        except (OSError, ValueError) as error:
            raise DamagedDataError(f"{self.path}: {error}") from error
        if not isinstance(manifest, dict) or sha256(content) != manifest.get("data_sha256"):
            raise DamagedDataError(
                f"{self.path / DATA} is damaged: its SHA-256 is not the one in {MANIFEST}"
            )
        return Stored(manifest, dataset_from_bytes(content))

    def _finish_commit(self) -> None:
        if not self._committed.exists():
            return
        for file in sorted(self._committed.iterdir()):
            os.replace(file, self.path / file.name)  # noqa: PTH105 - atomic
        sync_folder(self.path)
        self._committed.rmdir()


@contextlib.contextmanager
def opened(path: Path) -> Iterator[RunDirectory]:
    """Open a run directory for one process at a time, made and repaired where needed.

    Raises:
      UserError: if the folder cannot be written, or another process works in it.
    """
    check_writable(path)
    with _locked(path):
        directory = RunDirectory(path)
        directory.recover()
        yield directory


def dataset_to_bytes(dataset: xr.Dataset) -> bytes:
    """The dataset as netCDF; equal datasets give equal bytes."""
    return bytes(dataset.to_netcdf(engine="h5netcdf"))


def dataset_from_bytes(content: bytes) -> xr.Dataset:
    """The dataset in the content of a netCDF file, held in memory."""
    with xr.open_dataset(io.BytesIO(content), engine="h5netcdf") as dataset:
        return dataset.load().drop_encoding()


def sha256(content: bytes) -> str:
    """SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)  # also gives the lock back; so does the death of the process


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(
            f"another process works in {path}; wait for it, or give another --out_dir"
        ) from error
    except OSError:
        pass  # a file system without locks: two runs of one experiment at once are not kept apart
