"""Several figures brought up to date by one command, with their findings and their gallery."""

import functools
import importlib
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr
from absl import flags
from ml_collections import ConfigDict
from tqdm import tqdm

from experiments.analysis import benchmark_estimators as benchmark
from experiments.common import command_line, comparison, findings, gallery
from experiments.common.atomic_file import atomic_write, check_writable
from experiments.common.configuration import PROJECT_ROOT, resolve_config
from experiments.common.errors import UserError, did_you_mean
from experiments.common.folder_lock import locked
from experiments.common.gallery import Entry
from experiments.engine import cluster, figure_config, update
from experiments.engine.figure import Figure
from experiments.engine.figure_config import Override

MODULE = "experiments.reproduce"
PACKAGE = "experiments.analysis"
FAILED = 1
COMMITTED = "figures"  # the folder whose results are part of the project
OUT_DIRS = {"full": COMMITTED, "smoke": "results/smoke"}
OTHER_OUT_DIR = "results/figures"  # of a run with other settings than those of the configs
STORE = "results/store"
FINDINGS, GALLERY, COMPARISON = "findings.json", "README.md", "comparison.txt"
NOT_RECORDED = ("only", "redraw", "compare_with")


class Task(NamedTuple):
    """A figure with the config that it is to have."""

    figure: Figure
    config: ConfigDict
    command: str


def run(names: Sequence[str], arguments: Sequence[str], doc: str) -> int:
    """Do what a command line says about figures; returns the exit status.

    Args:
      names: the figures there are, modules of `experiments.analysis`, in the order of the gallery.
      arguments: the command line.
      doc: the text of its help.

    Raises:
      UserError: for a mistake in the arguments, before anything is computed.
    """
    overrides, others = figure_config.split_overrides(arguments)
    of_cluster, others = command_line.split_fields(others, ["cluster"])
    values = _parse(others)
    if values.help:
        print(f"{doc}\n{command_line.flag_help(values)}")
        return 0
    chosen = _selected(values.only, names)
    specs = list(dict.fromkeys(values.add_estimator))
    is_other = bool(overrides or specs or values.seed is not None)
    out_dir = _out_dir(values, is_other)
    check_writable(out_dir)
    for spec in specs:
        _check_estimator(spec)
    tasks = _tasks(chosen, values, overrides, specs, arguments)
    with locked(out_dir):
        failures = _bring_up_to_date(tasks, values, of_cluster["cluster"], out_dir, specs)
        entries = _stored_entries(names, out_dir, failures)
        _write(out_dir, entries)
        _summarize(entries, out_dir, failures)
        if values.compare_with:
            _compare(chosen, Path(values.compare_with), out_dir)
    for name, reason in failures.items():
        print(f"failed: {name}: {reason}", file=sys.stderr)
    return FAILED if failures else 0


def _parse(arguments: Sequence[str]) -> flags.FlagValues:
    values = command_line.common_flags()
    many = functools.partial(flags.DEFINE_list, flag_values=values)
    text = functools.partial(flags.DEFINE_string, flag_values=values)
    many("only", [], "Names of figures; all by default.")
    many("add_estimator", [], "Further curves: names, module:function, path/to/file.py:function.")
    flags.DEFINE_boolean(
        "redraw", False, "Draw from the stored data without computing.", flag_values=values
    )
    flags.DEFINE_integer("seed", None, "First of the seeds of all runs.", flag_values=values)
    flags.DEFINE_integer("workers", 0, "Processes that compute; 0: this one.", flag_values=values)
    text("cluster", None, "Where to compute, such as slurm or tcp://host:8786.")
    text("store", STORE, "Folder of the store of computed runs.")
    text("compare_with", None, "Folder of results to compare with at the end, such as figures.")
    command_line.parse(values, arguments)
    if values.force and values.redraw:
        raise UserError("--force computes again and --redraw does not: give one of them")
    if values.seed is not None and values.seed < 0:
        raise UserError(f"--seed={values.seed}: seeds are 0 or more")
    return values


def _selected(only: Sequence[str], names: Sequence[str]) -> list[str]:
    for name in only:
        if name not in names:
            raise UserError(f"figure {name!r} is unknown; {did_you_mean(name, names)}")
    return [name for name in names if not only or name in only]


def _out_dir(values: flags.FlagValues, is_other: bool) -> Path:
    if values.out_dir is None:
        return Path(OTHER_OUT_DIR if is_other and values.mode == "full" else OUT_DIRS[values.mode])
    out_dir = Path(values.out_dir)
    committed = {(PROJECT_ROOT / COMMITTED).resolve(), Path(COMMITTED).resolve()}
    if values.mode == "smoke" and out_dir.resolve() in committed:
        raise UserError(
            f"a smoke run does not write to {COMMITTED}, where the full results are; "
            f"leave out --out_dir ({OUT_DIRS['smoke']}), or give another"
        )
    return out_dir


def _check_estimator(spec: str) -> None:
    from experiments.common.estimator_spec import resolve  # JAX comes with it

    resolve(spec)


def _tasks(
    names: Sequence[str],
    values: flags.FlagValues,
    overrides: Sequence[Override],
    specs: Sequence[str],
    arguments: Sequence[str],
) -> list[Task]:
    """The figures with their configs; every flag must have a meaning for one of them."""
    tasks: list[Task] = []
    used: set[Override] = set()
    kept = command_line.without_flags(arguments, *NOT_RECORDED)
    for name in names:
        figure: Figure = importlib.import_module(f"{PACKAGE}.{name}").FIGURE
        config = resolve_config(name, values.mode)
        used |= figure_config.override(figure, config, overrides)
        figure_config.add_estimators(config, specs)
        if values.seed is not None:
            figure_config.shift_seeds(figure, config, values.seed)
        command = command_line.recorded_command(MODULE, [f"--only={name}", *kept])
        tasks.append(Task(figure, config, command))
    for one in overrides:
        if one not in used:
            known = {n for t in tasks for n in figure_config.known_names(*t[:2], one.kind)}
            raise UserError(f"{one.flag}: no figure has it; {did_you_mean(one.name, known)}")
    return tasks


def _bring_up_to_date(
    tasks: Sequence[Task],
    values: flags.FlagValues,
    cluster_options: Mapping[str, str],
    out_dir: Path,
    specs: Sequence[str],
) -> dict[str, str]:
    """Work off the tasks; returns what went wrong, by the name of the figure."""
    failures: dict[str, str] = {}
    stale = [
        task for task in tasks if values.force or values.redraw or not _is_current(task, out_dir)
    ]
    if not stale:
        where = "the committed data are shown" if out_dir == Path(COMMITTED) else "nothing to do"
        again = "; `make reproduce` computes them anew" if out_dir == Path(COMMITTED) else ""
        print(f"all {len(tasks)} figures are up to date: {where}{again}", flush=True)
        return failures
    computing = None if values.redraw else _Computing(stale, values, cluster_options, specs)
    try:
        for number, task in enumerate(tasks, start=1):
            name, head = task.figure.name, f"[{number}/{len(tasks)}] {task.figure.name}"
            if task not in stale:
                print(f"{head}: up to date, the stored data are shown", flush=True)
                continue
            update_one = functools.partial(
                update.bring_up_to_date,
                task.figure,
                task.config,
                out_dir,
                compute=functools.partial(computing, head) if computing else _never,
                force=values.force,
                redraw=values.redraw,
                command=task.command,
            )
            _attempt(name, failures, functools.partial(_report, head, update_one))
    finally:
        if computing:
            computing.close()
    return failures


def _report(head: str, update_one: Callable[[], update.Outcome]) -> None:
    print(f"{head}: {update_one().state}", flush=True)


def _is_current(task: Task, out_dir: Path) -> bool:
    return update.is_up_to_date(task.figure, task.config, out_dir)


def _never(figure: Figure, config: ConfigDict) -> Mapping[str, xr.Dataset]:
    raise AssertionError("a drawing computes nothing")


class _Computing:
    """Computes the grids of figures, with one progress bar over all of them."""

    def __init__(
        self,
        tasks: Sequence[Task],
        values: flags.FlagValues,
        cluster_options: Mapping[str, str],
        specs: Sequence[str],
    ) -> None:
        from experiments.engine import figure_grids  # JAX comes with the measurements
        from experiments.engine.store import Store

        self._grids = figure_grids
        self._force = values.force
        self._specs = specs
        resolved = {t.figure.name: figure_config.resolve(t.figure, t.config) for t in tasks}
        self._work = {
            t.figure.name: figure_grids.make_plans(t.figure, resolved[t.figure.name]) for t in tasks
        }
        self._store = Store(Path(values.store))
        self._execute = cluster.executor(values.workers, values.cluster, cluster_options)
        total = sum(work.num_runs for work in self._work.values())
        self._lock = threading.Lock()
        self._bar = tqdm(total=total, unit="run", unit_scale=True, smoothing=0.05)

    def __call__(self, head: str, figure: Figure, config: ConfigDict) -> Mapping[str, xr.Dataset]:
        """The datasets of the grids of a figure."""
        work = self._work[figure.name]
        self._bar.set_description(head)
        result = self._grids.compute(
            work, self._store, self._execute, self._watch, force=self._force
        )
        for line in self._grids.left_out(work, result, self._specs):
            self._bar.write(f"{figure.name}: {line}")
        return result.datasets

    def _watch(self, num_runs: int) -> None:
        with self._lock:
            self._bar.update(num_runs)

    def close(self) -> None:
        """End the progress bar."""
        self._bar.close()


def _attempt(name: str, failures: dict[str, str], action: Callable[[], Any]) -> None:
    try:
        action()
    except UserError as error:
        failures[name] = str(error)
    except OSError:
        raise
    except Exception as error:
        traceback.print_exc()
        failures[name] = f"{type(error).__name__}: {error}"


def _stored_entries(names: Sequence[str], out_dir: Path, failures: dict[str, str]) -> list[Entry]:
    """What the gallery shows: every stored result, whether this call made it or an earlier one."""
    entries: list[Entry] = []
    for name in names:
        if (out_dir / name / update.MANIFEST).exists() and name not in failures:
            _attempt(name, failures, functools.partial(_add_entry, entries, name, out_dir))
    if (out_dir / benchmark.NAME / update.MANIFEST).exists():
        add = functools.partial(_add_benchmark, entries, out_dir)
        _attempt(benchmark.NAME, failures, add)
    return entries


def _add_entry(entries: list[Entry], name: str, out_dir: Path) -> None:
    figure: Figure = importlib.import_module(f"{PACKAGE}.{name}").FIGURE
    try:
        stored = update.load(name, out_dir)
    except update.DamagedError as error:
        raise UserError(f"{error}; make it anew by --only={name}") from error
    if stored is not None:
        found = figure.findings(stored.dataset)
        caption = figure.caption(stored.dataset)
        entries.append(Entry(name, figure.question, caption, found, stored.manifest))


def _add_benchmark(entries: list[Entry], out_dir: Path) -> None:
    """The benchmark, which `make benchmark` makes: its tables stand among the details."""
    try:
        stored = update.load(benchmark.NAME, out_dir)
    except update.DamagedError as error:
        raise UserError(f"{error}; make it anew by `make benchmark`") from error
    if stored is not None:
        dataset = stored.dataset
        texts = benchmark.QUESTION, benchmark.caption(dataset), benchmark.findings(dataset)
        tables = benchmark.tables(dataset)
        entries.append(Entry(benchmark.NAME, *texts, stored.manifest, details=tables))


def _write(out_dir: Path, entries: Sequence[Entry]) -> None:
    every = [finding for entry in entries for finding in entry.findings]
    contents = {FINDINGS: findings.to_json(every), GALLERY: gallery.page(entries)}
    for name, text in contents.items():
        if not (out_dir / name).exists() or (out_dir / name).read_bytes() != text.encode():
            atomic_write(out_dir / name, text.encode())


def _summarize(entries: Sequence[Entry], out_dir: Path, failures: Mapping[str, str]) -> None:
    every = [finding for entry in entries for finding in entry.findings]
    print("\n" + findings.text(every))
    failed = f", {len(failures)} failed" if failures else ""
    shown = f"{len(entries)} {'figure' if len(entries) == 1 else 'figures'}"
    print(
        f"\n{shown}{failed}; {len(every)} findings.\n"
        f"Figures, {FINDINGS} and {GALLERY} are in {out_dir}/"
    )


def _compare(names: Sequence[str], committed: Path, out_dir: Path) -> None:
    """One line a figure: the new data against those of another folder."""
    lines = []
    for name in names:
        old, new = (_data(name, folder) for folder in (committed, out_dir))
        verdict = "missing" if old is None or new is None else comparison.compare(old, new)
        lines.append(f"{name}: {verdict}")
    text = "\n".join(lines)
    print(f"\nCompared with {committed}/ ({comparison.MEANING}):\n{text}")
    atomic_write(out_dir / COMPARISON, f"{text}\n".encode())


def _data(name: str, out_dir: Path) -> xr.Dataset | None:
    try:
        stored = update.load(name, out_dir)
    except update.DamagedError:
        return None
    return None if stored is None else stored.dataset
