"""Sweep the fields of a measurement, and get one dataset, tables and a figure.

    python -m experiments.sweep maze_training --grid.k=2,4,8 \
        --grid.learning_rate=log:1e-3:1e-1:5 --grid.seed=0:20

    --grid.FIELD=VALUES    an axis: 2,4,8 or 0:20 or 8:33:8 or log:1e-3:1e-1:5 or lin:-1:1:3
    --zip.FIELD=VALUES     all zipped fields advance together, along one axis
    --random.FIELD=RANGE   drawn anew for each of --num_samples samples
    --run.FIELD=VALUE      one value, for every run

An estimator is a registered name, package.module:function, or path/to/file.py:function. Stop it
when you like: the same command goes on where it stopped, and several at once share the work. It
leaves `sweep.nc` (all results, axes named), `runs.csv` and `curves.csv` (the same as tables),
`sweep.png`, `sweep.pdf` and `manifest.json`; the results themselves are kept in the store, and
what is there, from other sweeps or from figures, is not computed again.
"""

import dataclasses
import functools
import hashlib
import json
import math
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr
from absl import flags
from tqdm import tqdm

from experiments.analysis import sweep as picture
from experiments.analysis.seed_means import SEED, means_over_seeds, ranking
from experiments.common import command_line, provenance, style
from experiments.common.atomic_file import atomic_write, check_writable
from experiments.common.errors import UserError
from experiments.engine import cluster, dry_run, execution, grid, measurement
from experiments.engine import dataset as datasets
from experiments.engine.execution import CodeChangedError, Outcome
from experiments.engine.measurement import Measurement
from experiments.engine.plan import Plan, Run, check_estimators, in_words, make_plan
from experiments.engine.store import Store

MODULE = "experiments.sweep"
MANIFEST = "manifest.json"
OUT_DIR = "results/sweeps"
INCOMPLETE = 1
FIELD_FLAGS = ("grid", "zip", "random", "run", "cluster")
MAX_RUNS_SHOWN = 5  # of one error
MAX_BEST_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A sweep as it was asked for.

    Attributes:
      plan: its plan.
      metric: what its settings are compared by.
      identity: hash of what was asked: two sweeps with the same one are the same sweep.
      out_dir: folder of its files.
    """

    plan: Plan
    metric: str
    identity: str
    out_dir: Path

    @property
    def measurement(self) -> Measurement:
        """What is swept."""
        return self.plan.measurement


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point; exits with 0, 1 if runs failed or remain, 2 on mistakes, 130 on Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    started: list[tuple[Sweep, Store]] = []  # for the words after Ctrl-C
    command_line.run_guarded(
        functools.partial(_main, arguments, started),
        functools.partial(_what_is_kept, arguments, started),
    )


def _main(arguments: Sequence[str], started: list[tuple[Sweep, Store]]) -> int:
    values, names, fields = _parse(arguments)
    if not names:
        print(f"{__doc__}\nmeasurements: {', '.join(measurement.names())}\n")
        print(command_line.flag_help(values))
        return 0 if values.help else command_line.USER_ERROR
    if len(names) > 1:
        raise UserError(f"argument {names[1]!r} is not understood: write --flag=value")
    if values.help:
        print(_help(names[0], measurement.load(names[0])))
        return 0
    compute = cluster.executor(values.workers, values.cluster, fields["cluster"])
    sweep = _planned(names[0], values, fields)
    print(f"{names[0]}: {grid.describe(sweep.plan.axes, sweep.plan.fields)}", flush=True)
    _say_refusals(sweep.plan)
    store = Store(Path(values.store))
    started.append((sweep, store))
    if values.force or values.retry_failed:
        execution.forget(sweep.plan, store, failures_only=not values.force)
    if values.dry_run:
        print(dry_run.describe_plan(sweep.plan, store))
        return 0
    _reserve(sweep)
    try:
        outcome = _with_progress(sweep.plan, store, compute)
    except CodeChangedError as error:
        raise UserError(str(error)) from error
    troubles = list(outcome.troubles)
    if outcome.finished:
        troubles += _write(sweep, store, outcome, values, arguments)
    _say_outcome(sweep, outcome, troubles, arguments)
    return INCOMPLETE if outcome.failed or outcome.remaining or troubles else 0


def _flags() -> flags.FlagValues:
    values = command_line.common_flags()
    values.set_gnu_getopt(True)
    text = functools.partial(flags.DEFINE_string, flag_values=values)
    number = functools.partial(flags.DEFINE_integer, flag_values=values)
    switch = functools.partial(flags.DEFINE_boolean, flag_values=values)
    text("name", None, "Name of the folder in results/sweeps/MEASUREMENT; by default its axes.")
    text("store", "results/store", "Folder of the results of runs, shared by sweeps and figures.")
    number("num_samples", 0, "Number of samples of the random search.")
    number("search_seed", 0, "Seed of the random search.")
    number("seed", None, "Short for --run.seed.")
    text("metric", None, "What says which settings are best: an output, or J[k=8].")
    text("x", None, "Field on the abscissa of the figure.")
    text("hue", None, "Field with a line for each of its values.")
    switch("log_x", None, "Draw the abscissa in log.")
    switch("log_y", None, "Draw the ordinate in log.")
    number("workers", 0, "Processes that compute; 0: this one alone.")
    text("cluster", None, "Where workers run: slurm, pbs, ssh, tcp://host:8786, package.Cluster.")
    switch(
        "dry_run", False, "Say what would be computed, and how long; computes one chunk at most."
    )
    switch("retry_failed", False, "Try runs again that failed.")
    return values


def _parse(
    arguments: Sequence[str],
) -> tuple[flags.FlagValues, list[str], dict[str, dict[str, str]]]:
    """The flags, the names of measurements, and the fields by the flag that sets them."""
    fields, others = command_line.split_fields(arguments, FIELD_FLAGS)
    values = _flags()
    try:
        names = values(["sweep", *others])[1:]
    except flags.UnrecognizedFlagError as error:
        raise UserError(_unknown_flag(error, others)) from error
    except flags.Error as error:
        raise UserError(" ".join(str(error).split())) from error
    return values, names, fields


def _unknown_flag(error: flags.UnrecognizedFlagError, arguments: Sequence[str]) -> str:
    """What to write instead of a flag that does not exist: a field wants --grid. or --run."""
    name = error.flagname
    if name in FIELD_FLAGS:
        return f"--{name} takes a field: write --{name}.FIELD=..., such as --{name}.k=2"
    candidates = [argument for argument in arguments if not argument.startswith("-")]
    for candidate in candidates:
        try:
            fields = measurement.load(candidate).fields
        except UserError:
            continue
        if near := grid.near_fields(name, fields):
            meant = " or ".join(f"--grid.{field}=... or --run.{field}=..." for field in near)
            return f"there is no flag --{name}: did you mean {meant}?"
    return " ".join(str(error).split())


def _planned(name: str, values: flags.FlagValues, fields: Mapping[str, dict[str, str]]) -> Sweep:
    swept = measurement.load(name)
    known = swept.fields
    given = dict(fields["run"])
    if values.seed is not None:
        given[SEED] = str(values.seed)
    chosen = {field: grid.field_value(known, field, text) for field, text in given.items()}
    axes = grid.parse_axes(
        known,
        grid=fields["grid"],
        zipped=fields["zip"],
        random=fields["random"],
        num_samples=values.num_samples,
        search_seed=values.search_seed,
    )
    for field in [field for axis in axes for field in axis.fields if field in chosen]:
        raise UserError(f"{field} is on an axis, and set for every run: keep one of them")
    check_estimators(axes)
    smoke = swept.smoke if values.mode == "smoke" else {}
    plan = make_plan(name, swept, dict(known) | dict(smoke) | chosen, axes)
    metric = _checked_metric(plan, values.metric)
    _check_fields_shown(plan, values)
    identity = _identity(plan)
    return Sweep(plan, metric, identity, _out_dir(plan, identity, values))


def _checked_metric(plan: Plan, metric: str | None) -> str:
    """The metric; by default J_k at one k, which compares runs of any K, or the first output."""
    first = next(run for run in plan.runs if not run.refused)
    blank = datasets.blank_outputs(plan.measurement, first.fields)
    if metric is None:
        outputs = plan.measurement.outputs
        by_k = [name for name in outputs if datasets.EVALUATION_K in outputs[name].dims]
        metric = next(iter([*by_k, *outputs]))
        if by_k:
            ks = blank[datasets.EVALUATION_K].values.tolist()
            metric = f"{metric}[k={plan.fields['k'] if plan.fields.get('k') in ks else ks[0]}]"
    datasets.select(blank, metric)
    return metric


def _check_fields_shown(plan: Plan, values: flags.FlagValues) -> None:
    swept = [field for axis in plan.axes for field in axis.fields if field != SEED]
    for flag in ("x", "hue"):
        if (name := getattr(values, flag)) is not None:
            grid.check_field(name, swept, f"--{flag}: the axes have")


def _identity(plan: Plan) -> str:
    asked = [plan.name, plan.fields, [axis._asdict() for axis in plan.axes]]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _out_dir(plan: Plan, identity: str, values: flags.FlagValues) -> Path:
    if values.out_dir is not None:
        return Path(values.out_dir)
    fields = [field for axis in plan.axes for field in axis.fields]
    name = values.name or "-".join([*(fields or ["one_run"]), identity[:8]])
    if Path(name).name != name:
        raise UserError(f"--name is {name}; it must be the name of a folder, without slashes")
    return Path(OUT_DIR) / plan.name / name


def _reserve(sweep: Sweep) -> None:
    """Mark the folder as that of this sweep.

    Raises:
      UserError: if it cannot be written, or holds the files of anything else.
    """
    check_writable(sweep.out_dir)
    found = sorted(path.name for path in sweep.out_dir.iterdir() if not path.name.startswith("."))
    if MANIFEST not in found:
        if "sweep.nc" in found or "data.nc" in found:
            raise UserError(_is_taken(sweep, "something without a manifest"))
        content = {"sweep": sweep.identity, "measurement": sweep.plan.name, "state": "unfinished"}
        atomic_write(sweep.out_dir / MANIFEST, (json.dumps(content, indent=2) + "\n").encode())
        return
    try:
        manifest = json.loads((sweep.out_dir / MANIFEST).read_text(encoding="utf-8"))
        other = manifest["sweep"]
    except (OSError, ValueError, KeyError, TypeError):
        other, manifest = None, {}
    if other != sweep.identity:
        what = f"another sweep ({manifest['axes']})" if "axes" in manifest else "something else"
        raise UserError(_is_taken(sweep, what))


def _is_taken(sweep: Sweep, what: str) -> str:
    return f"{sweep.out_dir} holds {what}: give another folder by --out_dir or --name, or delete it"


def _with_progress(plan: Plan, store: Store, compute: cluster.Executor) -> Outcome:
    lock = threading.Lock()
    with tqdm(total=len(plan.runs), desc=plan.name, unit="run") as progress:
        progress.update(sum(1 for run in plan.runs if run.refused))

        def watch(num_runs: int) -> None:
            with lock:
                progress.update(num_runs)

        return compute(plan, store, watch)


def _write(
    sweep: Sweep,
    store: Store,
    outcome: Outcome,
    values: flags.FlagValues,
    arguments: Sequence[str],
) -> list[str]:
    """Write the files of a sweep, the manifest last; says what went wrong."""
    dataset = datasets.merged(sweep.plan, store)
    files = {
        "sweep.nc": datasets.to_bytes(dataset),
        "runs.csv": datasets.runs_table(dataset, sweep.measurement),
    }
    curves = datasets.curves_table(dataset, sweep.measurement)
    if curves is not None:
        files["curves.csv"] = curves
    choice = picture.Choice(sweep.metric, values.x, values.hue, values.log_x, values.log_y)
    with style.paper():
        figure = picture.draw(dataset, sweep.measurement, choice)
        files["sweep.png"] = style.png_bytes(figure)
        files["sweep.pdf"] = style.pdf_bytes(figure)
    best = _best_settings(sweep, dataset)
    manifest = _manifest(sweep, outcome, best, arguments)
    manifest["sha256"] = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    files[MANIFEST] = (json.dumps(manifest, indent=2) + "\n").encode()
    try:
        for name, content in files.items():
            atomic_write(sweep.out_dir / name, content)
    except OSError as error:
        return [f"cannot write to {sweep.out_dir}: {error.strerror or error}"]
    for line in [*_unknown_scores(sweep, dataset, outcome), *best]:
        print(line)
    return []


def _unknown_scores(sweep: Sweep, dataset: xr.Dataset, outcome: Outcome) -> list[str]:
    """A line for runs that were computed and whose metric is no number."""
    axes = datasets.axis_names(dataset, sweep.measurement)
    scores = datasets.score(datasets.select(dataset, sweep.metric), axes).values.ravel()
    finished = {id(run) for run in outcome.finished}
    runs = [
        run
        for run, score in zip(sweep.plan.runs, scores, strict=True)
        if id(run) in finished and math.isnan(score)
    ]
    if not runs:
        return []
    shown = "; ".join(in_words(run.setting) for run in runs[:MAX_RUNS_SHOWN])
    more = f"; {len(runs) - MAX_RUNS_SHOWN} more" if len(runs) > MAX_RUNS_SHOWN else ""
    return [f"{sweep.metric} is NaN in {len(runs)} runs: {shown}{more}"]


def _best_settings(sweep: Sweep, dataset: xr.Dataset) -> list[str]:
    """The best settings of the metric, means over seeds, as lines of text."""
    larger_is_better = sweep.measurement.outputs[sweep.metric.partition("[")[0]].larger_is_better
    axes = datasets.axis_names(dataset, sweep.measurement)
    if larger_is_better is None or not set(axes) - {SEED}:
        return []
    means = means_over_seeds(datasets.score(datasets.select(dataset, sweep.metric), axes))
    lines = []
    for number, position in enumerate(ranking(means, larger_is_better)[:MAX_BEST_SHOWN], start=1):
        mean, low, high = (part.isel(position) for part in means)
        fields = [field for axis in sweep.plan.axes for field in axis.fields if field != SEED]
        setting = in_words({field: mean[field].item() for field in fields})
        interval = f" [{low.item():.4g}, {high.item():.4g}]" if low.notnull() else ""
        place = "best" if number == 1 else f"{number}."
        lines.append(f"{place} by {sweep.metric}: {setting}: {mean.item():.4g}{interval}")
    return lines


def _manifest(
    sweep: Sweep, outcome: Outcome, best: Sequence[str], arguments: Sequence[str]
) -> dict[str, Any]:
    plan = sweep.plan
    return {
        "sweep": sweep.identity,
        "state": "unfinished" if outcome.remaining else "finished",
        "measurement": plan.name,
        "axes": grid.describe(plan.axes, plan.fields),
        "fields": plan.fields,
        "metric": sweep.metric,
        "best": list(best),
        "command": command_line.recorded_command(MODULE, arguments),
        "code_hash": plan.code,
        "git": provenance.git_state(),
        "versions": provenance.versions(),
        "runs": {
            "total": len(plan.runs),
            "finished": len(outcome.finished),
            "refused": len(outcome.refused),
            "failed": len(outcome.failed),
            "remaining": len(outcome.remaining),
        },
        "programs": plan.num_programs,
        "refused": {reason: len(runs) for reason, runs in plan.refusals().items()},
        "failures": [
            {"setting": run.setting, "error": failure.error, "traceback": failure.traceback}
            for run, failure in outcome.failed
        ],
    }


def _say_refusals(plan: Plan) -> None:
    for reason, runs in plan.refusals().items():
        what = "1 run makes" if len(runs) == 1 else f"{len(runs)} runs make"
        print(f"{what} no sense, and stay empty: {reason}", flush=True)


def _say_outcome(
    sweep: Sweep, outcome: Outcome, troubles: Sequence[str], arguments: Sequence[str]
) -> None:
    by_error: dict[str, list[Run]] = {}
    for run, failure in outcome.failed:
        by_error.setdefault(failure.error, []).append(run)
    for error, runs in by_error.items():
        shown = "; ".join(in_words(run.setting) for run in runs[:MAX_RUNS_SHOWN])
        more = len(runs) - MAX_RUNS_SHOWN
        print(f"failed: {error}: {shown}" + (f"; {more} more, see {MANIFEST}" if more > 0 else ""))
    for trouble in troubles:
        print(f"trouble: {trouble}")
    again = command_line.without_flags(arguments, "force", "retry_failed")
    if outcome.remaining or troubles:
        print(f"go on by: {command_line.command(MODULE, again)}")
    if outcome.failed:
        retry = command_line.command(MODULE, [*again, "--retry_failed"])
        print(f"try failed runs again by: {retry}")
    print(f"{outcome.summary()}, shown in {sweep.out_dir}")


def _what_is_kept(arguments: Sequence[str], started: list[tuple[Sweep, Store]]) -> str:
    again = command_line.without_flags(arguments, "force", "retry_failed")
    go_on = f"go on by: {command_line.command(MODULE, again)}"
    if not started:
        return f"nothing was computed yet; {go_on}"
    sweep, store = started[0]
    return f"{execution.outcome(sweep.plan, store).summary()} in {store.folder}; {go_on}"


def _help(name: str, swept: Measurement) -> str:
    """The fields and outputs of a measurement."""
    fields = [f"  {field} = {value!r}" for field, value in swept.fields.items()]
    outputs = [
        f"  {output}{list(about.dims) if about.dims else ''}: {about.long_name}".replace("'", "")
        for output, about in swept.outputs.items()
    ]
    example = f"python -m {MODULE} {name} --grid.{next(iter(swept.fields))}=..."
    return "\n".join(
        [
            f"{name}: set fields by --run.FIELD=value, sweep them by --grid.FIELD=values",
            f"  {example}",
            "fields and their defaults:",
            *fields,
            "outputs:",
            *outputs,
            command_line.flag_help(_flags()),
        ]
    )


if __name__ == "__main__":
    command_line.leave(main)
