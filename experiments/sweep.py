"""Sweep the fields of an experiment's config, and get one dataset, a table, a figure and a page.

    python -m experiments.sweep --experiment=maze_learning \
        --grid=k=2,4,8 --grid=learning_rate=log:1e-3:1e-1:5 --seeds=0:20

Stop it when you like: the same command goes on where it stopped, on this machine or on another
that sees the same folder, and several at once share the work. In OUT_DIR it leaves `sweep.nc`
(all results, axes named), `runs.csv` and `curves.csv` (the same as tables), `sweep.png`,
`sweep.html` (one self-contained page), `manifest.json`, and the store of single results `runs/`.

What an experiment offers to be swept: see `experiments/sweeps/sweepable.py`.
How axes are written: see `experiments/sweeps/axes.py`.
"""

import dataclasses
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict
from tqdm import tqdm

from experiments.common import command_line
from experiments.common.configuration import override_from_flags, resolve_config
from experiments.common.errors import UserError
from experiments.sweeps import driver, dry_run, local, report, slurm
from experiments.sweeps import sweepable as sweepable_module
from experiments.sweeps.axes import parse_axes
from experiments.sweeps.driver import Launcher, Outcome
from experiments.sweeps.plan import Plan, Run, check_metric, describe, make_plan
from experiments.sweeps.store import Store
from experiments.sweeps.sweepable import Sweepable

Way = Callable[
    [Plan, Store, Callable[[Sequence[Run]], None]], Outcome
]  # to compute what is pending

MODULE = "experiments.sweep"
INCOMPLETE = 1
LAUNCHERS = ("local", "slurm")
MAX_FAILURES_SHOWN = 5  # of one error


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point; exits with 0, 1 if runs failed or remain, 2 on mistakes, 130 on Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command_line.run_guarded(
        functools.partial(_main, arguments), functools.partial(_what_is_kept, arguments)
    )


def _main(arguments: Sequence[str]) -> int:
    values, overrides = _parse(arguments)
    if values.help or not values.experiment:
        print(f"{__doc__}\n{command_line.flag_help(values)}")
        return 0 if values.help else command_line.USER_ERROR
    is_writer = _join(values)
    offered, config, plan = _planned(values, overrides)
    metric = check_metric(offered, values.metric)
    compute = _way_to_compute(values)
    out_dir = _out_dir(values)
    store = Store(out_dir / "runs")
    if not is_writer:
        return _status(compute(plan, store, lambda pending: None))
    _prepare(plan, store, values)
    if values.dry_run:
        _compute_one_chunk(plan, store)
        print(dry_run.describe_plan(plan, store, _num_workers(values)))
        return 0
    outcome = _with_progress(plan, store, compute)
    if outcome.finished:
        command = command_line.recorded_command(MODULE, arguments)
        report.write(out_dir, plan, offered, config, store, metric, outcome, command)
    print(_closing_words(outcome, store, arguments, out_dir))
    return _status(outcome)


def _status(outcome: Outcome) -> int:
    return INCOMPLETE if outcome.failed or outcome.remaining else 0


def _flags() -> flags.FlagValues:
    values = command_line.common_flags()
    text = functools.partial(flags.DEFINE_string, flag_values=values)
    many = functools.partial(flags.DEFINE_multi_string, flag_values=values)
    number = functools.partial(flags.DEFINE_integer, flag_values=values)
    switch = functools.partial(flags.DEFINE_boolean, flag_values=values)
    text("experiment", None, "Experiment to sweep; or any module that has a SWEEP.")
    text("config", None, "Path of the config file; configs/EXPERIMENT.py by default.")
    many("grid", [], "An axis, field=values; repeat it for more.")
    many("zip", [], "field=values; all zipped fields advance together along one axis.")
    many("random", [], "field=range; all such fields are drawn anew for each sample.")
    number("num_samples", 0, "Number of samples of the random search.")
    number("search_seed", 0, "Seed of the random search.")
    text("seeds", None, "Seeds, such as 0:20; the seed of the config by default.")
    text("metric", None, "Metric that says which settings are best; the first by default.")
    number("chunk_size", 16, "Runs that go through a program together, on each device.")
    flags.DEFINE_enum("launcher", "local", LAUNCHERS, "Where workers run.", flag_values=values)
    number("workers", 0, "Workers at once; 0: one per core, or one where a GPU is; 16 with Slurm.")
    many("slurm", [], "Option of sbatch, name=value, such as partition=gpu; repeat it for more.")
    number("minutes", 240, "Time limit of a Slurm task; unfinished work is submitted again.")
    switch("distributed", False, "Spread each chunk over all processes that run this command.")
    text("coordinator", None, "host:port of process 0; found by itself under Slurm.")
    number("num_processes", 1, "Processes of a distributed run with a coordinator.")
    number("process_id", 0, "Number of this process, with a coordinator.")
    switch("dry_run", False, "List the runs and estimate the time; computes one chunk at most.")
    switch("retry_failed", False, "Try runs again that failed.")
    return values


def _parse(arguments: Sequence[str]) -> tuple[flags.FlagValues, list[str]]:
    values = _flags()
    overrides, others = command_line.split_overrides(arguments)
    command_line.parse(values, others)
    return values, overrides


def _planned(
    values: flags.FlagValues, overrides: Sequence[str]
) -> tuple[Sweepable, ConfigDict, Plan]:
    offered = sweepable_module.load(values.experiment)
    file = values.config or values.experiment.rpartition(".")[2]
    config = offered.run_config(resolve_config(file, values.mode)).copy_and_resolve_references()
    config.lock()
    override_from_flags(config, overrides)
    axes = parse_axes(
        config,
        grid=values.grid,
        zipped=values.zip,
        random=values.random,
        num_samples=values.num_samples,
        search_seed=values.search_seed,
        seeds=values.seeds,
    )
    plan = make_plan(values.experiment, offered, config, axes, values.chunk_size)
    return offered, config, plan


def _out_dir(values: flags.FlagValues) -> Path:
    if values.out_dir is not None:
        return Path(values.out_dir)
    mode = "" if values.mode == "full" else f"_{values.mode}"
    return Path("results/sweeps") / f"{values.experiment}{mode}"


def _join(values: flags.FlagValues) -> bool:
    """Join the other processes of a distributed run; whether this one is to write."""
    if not values.distributed:
        return True
    if values.dry_run or values.launcher != "local":
        raise UserError("--distributed takes neither --dry_run nor --launcher: leave them out")
    from experiments.sweeps import distributed  # it loads JAX, which --help has no need of

    distributed.initialize(values.coordinator, values.num_processes, values.process_id)
    return distributed.is_writer()


def _way_to_compute(values: flags.FlagValues) -> Way:
    if values.distributed:
        from experiments.sweeps import distributed

        return distributed.bring_up_to_date
    launch: Launcher = local.launch
    if values.launcher == "slurm":
        launch = slurm.make_launcher(_out_dir(values) / "slurm", values.minutes, values.slurm)
    num_workers = _num_workers(values)
    return lambda plan, store, watch: driver.bring_up_to_date(
        plan, store, launch, num_workers, watch
    )


def _num_workers(values: flags.FlagValues) -> int:
    if values.workers < 0:
        raise UserError(f"--workers is {values.workers}; it must be 0 or more")
    if values.launcher == "slurm":
        return values.workers or slurm.DEFAULT_NUM_WORKERS
    return values.workers or local.default_num_workers()


def _prepare(plan: Plan, store: Store, values: flags.FlagValues) -> None:
    """Remove from the store what is to be computed again, damaged results among it."""
    for run in plan.runs:
        if values.force or (store.has(run.key) and store.load(run.key) is None):
            store.remove(run.key)
        elif values.retry_failed:
            store.forget_failure(run.key)


def _compute_one_chunk(plan: Plan, store: Store) -> None:
    """Compute the first runs of a sweep, where none is stored, so that its time can be told."""
    if any(store.has(run.key) for run in plan.runs):
        return
    (first, *_) = driver.split(plan, plan.runs, plan.num_chunks(plan.runs))
    driver.bring_up_to_date(dataclasses.replace(plan, runs=tuple(first)), store, local.launch, 1)


def _with_progress(plan: Plan, store: Store, compute: Way) -> Outcome:
    with tqdm(total=len(plan.runs), desc=plan.experiment, unit="run") as progress:

        def watch(pending: Sequence[Run]) -> None:
            if (num_new := len(plan.runs) - len(pending) - progress.n) > 0:
                progress.update(num_new)

        watch(driver.pending_runs(store, plan.runs))
        return compute(plan, store, watch)


def _closing_words(outcome: Outcome, store: Store, arguments: Sequence[str], out_dir: Path) -> str:
    by_error: dict[str, list[Run]] = {}
    for run in outcome.failed:
        failure = store.failure(run.key) or {}
        by_error.setdefault(str(failure.get("error")), []).append(run)
    lines = [_failure_line(error, runs) for error, runs in by_error.items()]
    lines += [f"trouble: {trouble}" for trouble in outcome.troubles]
    again = command_line.without_flags(arguments, "force", "retry_failed")
    if outcome.remaining:
        lines.append(f"go on by: {command_line.command(MODULE, again)}")
    if outcome.failed:
        retry = command_line.command(MODULE, [*again, "--retry_failed"])
        lines.append(f"try failed runs again by: {retry}")
    return "\n".join([*lines, f"{outcome.summary()}, in {out_dir}"])


def _failure_line(error: str, runs: Sequence[Run]) -> str:
    shown = "; ".join(describe(run.setting) for run in runs[:MAX_FAILURES_SHOWN])
    more = len(runs) - MAX_FAILURES_SHOWN
    return f"failed: {error}: {shown}" + (f"; {more} more, see manifest.json" if more > 0 else "")


def _what_is_kept(arguments: Sequence[str]) -> str:
    values, overrides = _parse(arguments)
    _, _, plan = _planned(values, overrides)
    store = Store(_out_dir(values) / "runs")
    again = command_line.without_flags(arguments, "force", "retry_failed")
    summary = driver.outcome(plan, store).summary()
    return f"{summary} in {store.folder}; go on by: {command_line.command(MODULE, again)}"


if __name__ == "__main__":
    main()
