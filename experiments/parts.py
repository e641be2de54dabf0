"""Finished parts of an unfinished experiment, kept so that an interrupted run resumes."""

import re
import shutil
from pathlib import Path
from typing import NamedTuple

import xarray as xr

from experiments.run_directory import atomic_write, dataset_from_bytes, dataset_to_bytes

PART_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._,=+-]*")
KEY = "frame_key"
WALL_SECONDS = "frame_wall_seconds"


class Part(NamedTuple):
    """A finished part and the wall time that it took."""

    dataset: xr.Dataset
    wall_seconds: float


class PartStore:
    """Parts under `folder`, each valid only for the key (config and code) that it was made with."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self.key = key

    def save(self, name: str, part: Part) -> None:
        """Store a finished part, whole or not at all."""
        self.folder.mkdir(exist_ok=True)
        marks = {KEY: self.key, WALL_SECONDS: part.wall_seconds}
        atomic_write(self._file(name), dataset_to_bytes(part.dataset.assign_attrs(marks)))

    def load(self, name: str) -> Part | None:
        """A finished part; None where it is missing, damaged, or of another config or code."""
        try:
            dataset = dataset_from_bytes(self._file(name).read_bytes())
        except (OSError, ValueError, KeyError, RuntimeError):
            return None
        if dataset.attrs.pop(KEY, None) != self.key:
            return None
        return Part(dataset, float(dataset.attrs.pop(WALL_SECONDS)))

    def remove_own(self) -> None:
        """Remove the parts of this key; those of another config or code stay for its resumption."""
        for file in self.folder.glob("*.nc"):
            if self.load(file.stem) is not None:
                file.unlink()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def remove_all(self) -> None:
        """Remove the parts of every key."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, name: str) -> Path:
        if not PART_NAME.fullmatch(name):
            raise ValueError(
                f"part name {name!r} cannot be a file name: use letters, digits, ._,=+-"
            )
        return self.folder / f"{name}.nc"
