"""Bring the stored result of a figure up to date: compute what is missing, summarize, draw.

`OUT_DIR/<name>/` holds `config.json`, `data.nc` (the summary), `<name>.png`, `<name>.pdf`, and
`manifest.json`. Each file is replaced whole, the manifest last, with the SHA-256 of all the others
and of itself: a mixture of old and new, a truncated or a flipped file is noticed, and the command
that is repeated makes it anew. What was computed on the way is in the store.
"""

import hashlib
import io
import json
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import xarray as xr
from ml_collections import ConfigDict

from experiments.common import configuration, provenance, style
from experiments.common.atomic_file import TEMPORARY_SUFFIX, atomic_write
from experiments.common.errors import UserError
from experiments.engine import code
from experiments.engine.figure import Figure
from experiments.engine.figure_config import resolve, user_estimators

DATA, MANIFEST, CONFIG = "data.nc", "manifest.json", "config.json"
CHECKSUM = "manifest_sha256"
FIELDS: dict[str, type] = {
    "figure": str,
    "command": str,
    "config_hash": str,
    "code_hash": str,
    "drawing_hash": str,
    "files": dict,
    "git": dict,
    "versions": dict,
    "device": dict,
    "wall_seconds": float,
    "finished": str,
}

Compute = Callable[[Figure, ConfigDict], Mapping[str, xr.Dataset]]


class Stored(NamedTuple):
    """A result whose manifest and data match."""

    manifest: dict[str, Any]
    dataset: xr.Dataset


class Outcome(NamedTuple):
    """What was done about a figure, and what is stored of it now."""

    state: Literal["computed", "drawn", "up to date"]
    stored: Stored


class DamagedError(Exception):
    """The files of a result are not those that its manifest describes."""


def bring_up_to_date(
    figure: Figure,
    config: ConfigDict,
    out_dir: Path,
    *,
    compute: Compute,
    force: bool = False,
    redraw: bool = False,
    command: str = "",
) -> Outcome:
    """Compute, store and draw whatever is missing or stale of a figure.

    Args:
      figure: the figure.
      config: its configuration, as of its file and the flags.
      out_dir: folder of results; the figure has a folder in it.
      compute: from figure and config with resolved axes to the dataset of each grid.
      force: make the summary anew even if config and code are those of the stored one.
      redraw: draw from the stored summary without computing, whatever config and code are now.
      command: the command to record.

    Raises:
      UserError: if the config makes no sense, or there is nothing to redraw.
    """
    folder = out_dir / figure.name
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f".*{TEMPORARY_SUFFIX}"):
        leftover.unlink(missing_ok=True)
    stored = _stored_or_warn(figure, out_dir, must_exist=redraw)
    keys = {} if redraw else keys_of(figure, config)
    is_current = stored is not None and keys.items() <= stored.manifest.items()
    if stored is None or not is_current or force:
        stored, content = _computed(figure, config, compute, keys, command)
        _draw_and_write(figure, folder, stored, content)
        return Outcome("computed", stored)
    if redraw or not _is_drawn(figure, folder, stored.manifest):
        return Outcome("drawn", _draw_and_write(figure, folder, stored, {}))
    return Outcome("up to date", stored)


def is_up_to_date(figure: Figure, config: ConfigDict, out_dir: Path) -> bool:
    """Whether a figure needs nothing: its data and its pictures are those of config and code."""
    try:
        stored = load(figure.name, out_dir)
    except DamagedError:
        return False
    if stored is None or not keys_of(figure, config).items() <= stored.manifest.items():
        return False
    return _is_drawn(figure, out_dir / figure.name, stored.manifest)


def keys_of(figure: Figure, config: ConfigDict) -> dict[str, str]:
    """Hashes of what the summary of a figure depends on."""
    texts = [code.measurement_code(name) for name in sorted(set(figure.grids.values()))]
    texts.append(code.function_hash(figure.summarize))
    texts += [code.estimator_code(spec) for spec in user_estimators(config)]
    code_hash = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    return {"config_hash": configuration.config_hash(config), "code_hash": code_hash}


def load(name: str, out_dir: Path) -> Stored | None:
    """The stored result of a figure, None where there is none.

    Raises:
      DamagedError: if manifest and data do not belong together.
    """
    folder = out_dir / name
    if not (folder / MANIFEST).exists():
        return None
    manifest = _manifest(folder)
    for file in (CONFIG, DATA):
        if not _matches(folder, manifest, file):
            raise DamagedError(f"{folder / file} is damaged: it is not the one in {MANIFEST}")
    return Stored(manifest, dataset_from_bytes((folder / DATA).read_bytes()))


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


def _stored_or_warn(figure: Figure, out_dir: Path, must_exist: bool) -> Stored | None:
    try:
        stored = load(figure.name, out_dir)
    except DamagedError as error:
        if must_exist:
            raise UserError(f"{error}; leave out --redraw to make it anew") from error
        print(f"warning: {error}; making it anew", file=sys.stderr)
        return None
    if stored is None and must_exist:
        raise UserError(f"there is no stored result in {out_dir / figure.name} to redraw")
    return stored


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        checksum = manifest.pop(CHECKSUM)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise DamagedError(f"{path} is damaged: it cannot be read") from error
    for name, kind in FIELDS.items():
        if not isinstance(manifest.get(name), kind):
            raise DamagedError(f"{path} is damaged: field {name} is missing or wrong")
    if checksum != _checksum(manifest):
        raise DamagedError(f"{path} is damaged: its SHA-256 is not the one in it")
    return manifest


def _checksum(manifest: Mapping[str, Any]) -> str:
    return sha256(json.dumps(manifest, sort_keys=True).encode())


def _matches(folder: Path, manifest: Mapping[str, Any], file: str) -> bool:
    try:
        return sha256((folder / file).read_bytes()) == manifest["files"].get(file)
    except OSError:
        return False


def _is_drawn(figure: Figure, folder: Path, manifest: Mapping[str, Any]) -> bool:
    is_current = manifest["drawing_hash"] == code.function_hash(figure.draw)
    return is_current and all(_matches(folder, manifest, file) for file in _pictures(figure))


def _pictures(figure: Figure) -> tuple[str, str]:
    return f"{figure.name}.png", f"{figure.name}.pdf"


def _computed(
    figure: Figure, config: ConfigDict, compute: Compute, keys: Mapping[str, str], command: str
) -> tuple[Stored, dict[str, bytes]]:
    """The new result, and the files that store it, the pictures not among them."""
    start = time.perf_counter()
    resolved = resolve(figure, config)
    dataset = _labeled(figure, resolved, figure.summarize(resolved, compute(figure, resolved)))
    content = dataset_to_bytes(dataset)
    manifest = {
        "figure": figure.name,
        "command": command,
        **keys,
        "git": provenance.git_state(),
        "versions": provenance.versions(),
        "device": provenance.device(),
        "wall_seconds": round(time.perf_counter() - start, 3),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    files = {CONFIG: configuration.to_json(config).encode(), DATA: content}
    return Stored(manifest, dataset_from_bytes(content)), files


def _labeled(figure: Figure, config: ConfigDict, dataset: xr.Dataset) -> xr.Dataset:
    for name, variable in dataset.data_vars.items():
        missing = [label for label in ("long_name", "units") if label not in variable.attrs]
        if missing:
            raise ValueError(f"variable {name} of {figure.name} lacks {' and '.join(missing)}")
    attributes = {"figure": figure.name, "config": configuration.to_json(config)}
    return dataset.drop_encoding().assign_attrs(attributes)


def _draw_and_write(
    figure: Figure, folder: Path, stored: Stored, files: dict[str, bytes]
) -> Stored:
    """Draw, and write the files, the manifest last."""
    png, pdf = _pictures(figure)
    data_hash = sha256(files[DATA]) if files else stored.manifest["files"][DATA]
    with style.paper():
        drawing = figure.draw(stored.dataset)
        files[png] = style.png_bytes(drawing)
        files[pdf] = style.pdf_bytes(drawing, subject=f"data SHA-256 {data_hash}")
    checksums = stored.manifest.get("files", {}) | {n: sha256(c) for n, c in files.items()}
    drawn = {"drawing_hash": code.function_hash(figure.draw), "files": checksums}
    manifest = stored.manifest | drawn
    for name, content in files.items():
        atomic_write(folder / name, content)
    signed = manifest | {CHECKSUM: _checksum(manifest)}
    atomic_write(folder / MANIFEST, (json.dumps(signed, indent=2) + "\n").encode())
    return stored._replace(manifest=manifest)
