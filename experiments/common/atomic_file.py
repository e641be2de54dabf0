"""Files that hold their old content or the new one at any instant, whatever is killed when."""

import os
import uuid
from pathlib import Path

from experiments.common.errors import UserError

TEMPORARY_SUFFIX = ".tmp"


def check_writable(path: Path) -> None:
    """Make the folder and a trial file in it, so that a fault shows before anything is computed."""
    trial = _temporary_name(path / "trial")
    try:
        path.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"cannot write to {path}: {reason}; give another folder by --out_dir"
        ) from error


def atomic_write(path: Path, content: bytes) -> None:
    """Write a file so that it holds its old content or the new one at any instant."""
    temporary = _temporary_name(path)
    try:
        write_and_sync(temporary, content)
        os.replace(temporary, path)  # noqa: PTH105 - atomic
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_and_sync(path: Path, content: bytes) -> None:
    """Write a new file, and return when it is on disk."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Return when the names in a folder are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}{TEMPORARY_SUFFIX}")
