"""The frame of every experiment: compute in parts, store whole results, draw from what is stored.

How an experiment is written:

- `experiments/<name>.py` computes. It defines `EXPERIMENT = Experiment("<name>", ...)` and ends
  with `if __name__ == "__main__": experiment.main(EXPERIMENT)`. Its code, and every module of the
  project that it imports, decide whether a stored result is still valid (see `code_hash`).
- `experiments/drawings/<name>.py` holds `draw`, `claims` and `caption`. They see the stored
  dataset alone (its config through `configuration.stored_config`). Changing them redraws the
  figure and never recomputes data.
- `configs/<name>.py` has `get_config(mode)`. `parts(config)` checks the values and raises
  ValueError for those that make no sense, before anything is computed.
- A dataset has named dimensions, and `long_name` and `units` ("1" for a pure number) on each
  data variable. Nothing in it depends on time, on the machine or on a hash seed.
- A part may say how much work it did by attributes `gradient_draws` or `environment_steps`
  (integers), and in how many seconds (`run_seconds`, without compilation; the default is all of
  its wall time). The manifest turns them into rates.
"""

import dataclasses
import functools
import inspect
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import xarray as xr
from absl import flags
from matplotlib.figure import Figure
from ml_collections import ConfigDict
from tqdm import tqdm

from experiments import code_hash, run_directory
from experiments.common import command_line, configuration, provenance, style
from experiments.common import findings as findings_module
from experiments.common.configuration import config_hash, resolve_config
from experiments.common.errors import UserError
from experiments.common.findings import Finding
from experiments.parts import Part, PartStore
from experiments.run_directory import CONFIG, DATA, MANIFEST, DamagedDataError, RunDirectory, Stored

__all__ = ["Experiment", "RunResult", "load", "main", "resolve_config", "run"]

WORK = ("gradient_draws", "environment_steps")
OUT_DIRS = {"full": "results", "smoke": "results/smoke"}  # a smoke run spares the full result


def _no_texts(dataset: xr.Dataset) -> Mapping[str, str]:
    return {}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What an experiment computes, and how its stored data are shown.

    Attributes:
      name: name of the module, of the config file and of the run directory.
      parts: named pieces of the computation, each stored when it is done and skipped on resume.
      combine: makes one labeled dataset of all parts.
      draw: makes the figure from the stored dataset alone.
      claims: statements with verdicts computed from the stored dataset alone.
      caption: text under the figure, generated from the stored dataset alone.
      texts: further files to store beside the figure, such as tables, by name, generated from the
        stored dataset alone.
    """

    name: str
    parts: Callable[[ConfigDict], Mapping[str, Callable[[], xr.Dataset]]]
    combine: Callable[[ConfigDict, dict[str, xr.Dataset]], xr.Dataset]
    draw: Callable[[xr.Dataset], Figure]
    claims: Callable[[xr.Dataset], list[Finding]]
    caption: Callable[[xr.Dataset], str]
    texts: Callable[[xr.Dataset], Mapping[str, str]] = _no_texts

    @property
    def module(self) -> str:
        """The module to run: `python -m <module>`."""
        return f"experiments.{self.name}"


class RunResult(NamedTuple):
    """What `run` leaves behind: where, whether anything was computed, and what it shows."""

    directory: Path
    computed: bool
    claims: list[Finding]


def run(
    experiment: Experiment,
    config: ConfigDict,
    out_dir: str | Path,
    *,
    force: bool = False,
    redraw: bool = False,
    command: str | None = None,
) -> RunResult:
    """Bring `out_dir/<name>` up to date: compute, store and draw whatever is missing or stale.

    Args:
      experiment: the experiment.
      config: its resolved configuration.
      out_dir: folder of results; the run directory is a folder in it.
      force: compute again even if config and code are those of the stored result.
      redraw: draw from the stored data without computing, whatever config and code are now.
      command: the command to record; the plain one by default.

    Returns:
      The run directory, whether data were computed, and the claims.

    Raises:
      UserError: if the folder cannot be written, the config makes no sense, or there is nothing
        to redraw.
    """
    if force and redraw:
        raise UserError("--force computes again and --redraw does not: give one of them")
    keys = _keys(experiment, config)
    command = command or command_line.command(experiment.module, [])
    with run_directory.opened(Path(out_dir) / experiment.name) as directory:
        stored = _stored_or_warn(directory, experiment, must_exist=redraw)
        parts = PartStore(directory.path / "parts", keys.joined())
        if stored is not None and (redraw or (_has(stored, keys) and not force)):
            computed = False
            if redraw or not _is_drawn(directory, experiment, stored):
                _draw_and_commit(experiment, directory, stored)
            parts.remove_own()
        else:
            computed = True
            if force:
                parts.remove_own()
            stored, files = _compute(experiment, config, parts, keys, command)
            _draw_and_commit(experiment, directory, stored, files)
            parts.remove_all()
        return RunResult(directory.path, computed, experiment.claims(stored.dataset))


def load(experiment: Experiment, out_dir: str | Path) -> Stored | None:
    """The stored result of an experiment, None where there is none.

    Raises:
      DamagedDataError: if data and manifest do not belong together.
    """
    path = Path(out_dir) / experiment.name
    if not path.is_dir():
        return None
    with run_directory.opened(path) as directory:
        return directory.stored()


def main(experiment: Experiment, argv: Sequence[str] | None = None) -> None:
    """Entry point of `python -m experiments.<name>`; exits with status 0, 1, 2 or 130."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command_line.run_guarded(
        functools.partial(_main, experiment, arguments),
        functools.partial(_what_is_kept, experiment, arguments),
    )


def _main(experiment: Experiment, arguments: Sequence[str]) -> int:
    values, overrides = _parse(experiment, arguments)
    config = resolve_config(values.config, values.mode)
    if values.help:
        print(_help(experiment, values, config))
        return 0
    configuration.override_from_flags(config, overrides)
    if values.seed is not None:
        config = resolve_config(
            values.config, values.mode, config.to_dict() | {"seed": values.seed}
        )
    result = run(
        experiment,
        config,
        _out_dir(values),
        force=values.force,
        redraw=values.redraw,
        command=command_line.recorded_command(experiment.module, arguments),
    )
    print(findings_module.table(result.claims))
    state = "computed" if result.computed else "drawn" if values.redraw else "up to date"
    print(f"\n{experiment.name}: {state}, in {result.directory}")
    return 0


def _parse(experiment: Experiment, arguments: Sequence[str]) -> tuple[flags.FlagValues, list[str]]:
    values = command_line.common_flags()
    default = f"configs/{experiment.name}.py"
    flags.DEFINE_string("config", default, "Path of the config file.", flag_values=values)
    flags.DEFINE_integer("seed", None, "Seed; overrides config.seed.", flag_values=values)
    flags.DEFINE_boolean(
        "redraw", False, "Draw from the stored data without computing.", flag_values=values
    )
    overrides, others = command_line.split_overrides(arguments)
    command_line.parse(values, others)
    return values, overrides


def _out_dir(values: flags.FlagValues) -> str:
    return values.out_dir if values.out_dir is not None else OUT_DIRS[values.mode]


def _help(experiment: Experiment, values: flags.FlagValues, config: ConfigDict) -> str:
    fields = "\n".join(f"  --config.{name}={value}" for name, value in sorted(config.items()))
    usage = command_line.command(experiment.module, [])
    return f"{usage} [flags]\n\n{command_line.flag_help(values)}\n\nfields of the config:\n{fields}"


def _what_is_kept(experiment: Experiment, arguments: Sequence[str]) -> str:
    values, _ = _parse(experiment, arguments)
    folder = Path(_out_dir(values)) / experiment.name / "parts"
    num_parts = len(list(folder.glob("*.nc")))
    again = command_line.command(experiment.module, command_line.without_flags(arguments, "force"))
    return f"{num_parts} finished parts are kept in {folder}; resume by: {again}"


@dataclasses.dataclass(frozen=True)
class _Keys:
    """What a result depends on."""

    config_hash: str
    code_hash: str

    def joined(self) -> str:
        return f"{self.config_hash}-{self.code_hash}"


def _keys(experiment: Experiment, config: ConfigDict) -> _Keys:
    own_file = Path(__file__).with_name(f"{experiment.name}.py")
    files = [_source_file(experiment.parts), _source_file(experiment.combine)]
    files += [own_file] if own_file.exists() else []
    return _Keys(config_hash(config), code_hash.computing_code_hash(files))


def _source_file(function: Callable[..., Any]) -> Path:
    while isinstance(function, functools.partial):
        function = function.func
    return Path(inspect.getfile(inspect.unwrap(function)))


def _drawing_hash(experiment: Experiment) -> str:
    return code_hash.drawing_code_hash([_source_file(experiment.draw)])


def _stored_or_warn(
    directory: RunDirectory, experiment: Experiment, must_exist: bool
) -> Stored | None:
    advice = f"compute it again by: {command_line.command(experiment.module, [])}"
    try:
        stored = directory.stored()
    except DamagedDataError as error:
        if must_exist:
            raise UserError(f"{error}; {advice}") from error
        print(f"warning: {error}; computing it again", file=sys.stderr)
        return None
    if stored is None and must_exist:
        raise UserError(f"there is no stored result in {directory.path} to redraw; {advice}")
    return stored


def _has(stored: Stored, keys: _Keys) -> bool:
    return all(stored.manifest.get(name) == key for name, key in dataclasses.asdict(keys).items())


def _is_drawn(directory: RunDirectory, experiment: Experiment, stored: Stored) -> bool:
    figures = [directory.path / name for name in _figure_names(experiment)]
    is_current = stored.manifest.get("drawing_hash") == _drawing_hash(experiment)
    return is_current and all(figure.exists() for figure in figures)


def _figure_names(experiment: Experiment) -> tuple[str, str]:
    return f"{experiment.name}.png", f"{experiment.name}.pdf"


def _compute(
    experiment: Experiment,
    config: ConfigDict,
    store: PartStore,
    keys: _Keys,
    command: str,
) -> tuple[Stored, dict[str, bytes]]:
    """Compute the result; returns it with the files that store it, the figures not among them."""
    finished = _finish_parts(experiment, config, store)
    start = time.perf_counter()
    datasets = {name: part.dataset for name, part in finished.items()}
    dataset = _labeled(experiment, config, experiment.combine(config, datasets))
    content = run_directory.dataset_to_bytes(dataset)
    manifest = {
        "experiment": experiment.name,
        "command": command,
        "seed": config.get("seed"),
        **dataclasses.asdict(keys),
        "data_sha256": run_directory.sha256(content),
        "git": provenance.git_state(),
        "versions": provenance.versions(),
        "device": provenance.device(),
        "wall_seconds": _wall_seconds(finished, time.perf_counter() - start),
        **_rates(finished),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    files = {CONFIG: configuration.to_json(config).encode(), DATA: content}
    return Stored(manifest, run_directory.dataset_from_bytes(content)), files


def _finish_parts(experiment: Experiment, config: ConfigDict, store: PartStore) -> dict[str, Part]:
    try:
        pieces = experiment.parts(config)
    except ValueError as error:
        raise UserError(f"the config of {experiment.name} makes no sense: {error}") from error
    finished: dict[str, Part] = {}
    with tqdm(pieces.items(), desc=experiment.name, unit="part") as progress:
        for name, compute in progress:
            progress.set_postfix_str(name)
            finished[name] = store.load(name) or _compute_part(name, compute, store)
    return finished


def _compute_part(name: str, compute: Callable[[], xr.Dataset], store: PartStore) -> Part:
    start = time.perf_counter()
    dataset = compute()
    store.save(name, Part(dataset, time.perf_counter() - start))
    part = store.load(name)  # what is combined is what a resumed run would read
    if part is None:
        raise OSError(f"part {name} could not be read back from {store.folder}")
    return part


def _labeled(experiment: Experiment, config: ConfigDict, dataset: xr.Dataset) -> xr.Dataset:
    for name, variable in dataset.data_vars.items():
        missing = [label for label in ("long_name", "units") if label not in variable.attrs]
        if missing:
            raise ValueError(f"variable {name} of {experiment.name} lacks {' and '.join(missing)}")
    attributes = {"experiment": experiment.name, "config": configuration.to_json(config)}
    return dataset.assign_attrs(attributes)


def _wall_seconds(finished: Mapping[str, Part], combining: float) -> dict[str, Any]:
    seconds = {name: part.wall_seconds for name, part in finished.items()}
    total = sum(seconds.values()) + combining
    parts = {name: round(value, 3) for name, value in seconds.items()}
    return {"total": round(total, 3), "parts": parts}


def _rates(finished: Mapping[str, Part]) -> dict[str, int]:
    """Work per second, over the parts that say how much they did."""
    rates = {}
    for kind in WORK:
        working = [part for part in finished.values() if kind in part.dataset.attrs]
        seconds = sum(float(p.dataset.attrs.get("run_seconds", p.wall_seconds)) for p in working)
        if seconds > 0:
            amount = sum(int(part.dataset.attrs[kind]) for part in working)
            rates[f"{kind}_per_second"] = round(amount / seconds)
    return rates


def _draw_and_commit(
    experiment: Experiment,
    directory: RunDirectory,
    stored: Stored,
    files: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
    png, pdf = _figure_names(experiment)
    manifest = stored.manifest | {"drawing_hash": _drawing_hash(experiment)}
    with style.paper():
        figure = experiment.draw(stored.dataset)
        figures = {
            png: style.png_bytes(figure),
            pdf: style.pdf_bytes(figure, subject=f"data SHA-256 {manifest['data_sha256']}"),
        }
    texts = {name: text.encode() for name, text in experiment.texts(stored.dataset).items()}
    content = (json.dumps(manifest, indent=2) + "\n").encode()
    directory.commit({**files, **figures, **texts, MANIFEST: content})
