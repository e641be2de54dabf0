"""Redraw every figure: `python -m experiments.reproduce [--only=a,b] [--mode=smoke] [--force]`.

What config and code have produced already is not computed again. At the end stand the claims, in
the terminal and in `OUT_DIR/claims.json`, and the gallery `OUT_DIR/README.md`.
"""

import functools
import importlib
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import flags

from experiments import experiment, run_directory
from experiments.common import command_line, findings, gallery
from experiments.common.configuration import resolve_config
from experiments.common.errors import UserError, did_you_mean
from experiments.common.gallery import Entry
from experiments.experiment import Experiment

# Modules of this package, in the order of the gallery.
EXPERIMENTS: tuple[str, ...] = (
    "estimation_error",
    "gradient_variance",
    "variance_map",
    "bandit_learning",
    "adam_variance",
    "k_sensitivity",
    "pass_at_k",
    "maze_map",
    "maze_learning",
    "maze_scaling",
)

OUT_DIRS = {"full": "figures", "smoke": "results/smoke"}  # a smoke run spares the full figures
MODULE = "experiments.reproduce"
FAILED = 1


def reproduce(
    names: Sequence[str], mode: str, out_dir: str | Path, *, force: bool = False
) -> dict[str, str]:
    """Bring the named experiments up to date, and the claims and the gallery of all of them.

    Args:
      names: experiments to run, of those in `EXPERIMENTS`.
      mode: "smoke" or "full".
      out_dir: folder of the results.
      force: compute again even what is up to date.

    Returns:
      For each experiment that failed, by name, what went wrong. One failure stops no other.

    Raises:
      UserError: if the folder cannot be written.
    """
    out_dir = Path(out_dir)
    run_directory.check_writable(out_dir)
    failures: dict[str, str] = {}
    for number, name in enumerate(names, start=1):
        print(f"[{number}/{len(names)}] {name}", flush=True)
        _attempt(name, failures, functools.partial(_bring_up_to_date, name, mode, out_dir, force))
    entries = _stored_entries(out_dir, failures)
    _write(out_dir, entries)
    print("\n" + findings.table([claim for entry in entries for claim in entry.claims]))
    return failures


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point; exits with status 0, 1 if an experiment failed, 2 on mistakes, 130 on Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command_line.run_guarded(lambda: _main(arguments), lambda: _what_is_kept(arguments))


def _main(arguments: Sequence[str]) -> int:
    values = _parse(arguments)
    if values.help:
        print(f"{__doc__}\n{command_line.flag_help(values)}")
        return 0
    out_dir = values.out_dir if values.out_dir is not None else OUT_DIRS[values.mode]
    failures = reproduce(_selected(values.only), values.mode, out_dir, force=values.force)
    for name, reason in failures.items():
        print(f"failed: {name}: {reason}", file=sys.stderr)
    return FAILED if failures else 0


def _parse(arguments: Sequence[str]) -> flags.FlagValues:
    values = command_line.common_flags()
    flags.DEFINE_list("only", [], "Names of experiments; all by default.", flag_values=values)
    command_line.parse(values, arguments)
    return values


def _selected(only: Sequence[str]) -> list[str]:
    for name in only:
        if name not in EXPERIMENTS:
            raise UserError(f"experiment {name!r} is unknown; {did_you_mean(name, EXPERIMENTS)}")
    return [name for name in EXPERIMENTS if not only or name in only]


def _what_is_kept(arguments: Sequence[str]) -> str:
    again = command_line.command(MODULE, command_line.without_flags(arguments, "force"))
    return f"finished experiments and finished parts are kept; resume by: {again}"


def _attempt(name: str, failures: dict[str, str], action: Callable[[], None]) -> None:
    try:
        action()
    except UserError as error:
        failures[name] = str(error)
    except Exception as error:
        traceback.print_exc()
        failures[name] = f"{type(error).__name__}: {error}"


def _bring_up_to_date(name: str, mode: str, out_dir: Path, force: bool) -> None:
    chosen = _experiment(name)
    command = command_line.command(chosen.module, [f"--mode={mode}"])
    config = resolve_config(name, mode)
    result = experiment.run(chosen, config, out_dir, force=force, command=command)
    print(f"{name}: {'computed' if result.computed else 'up to date'}", flush=True)


def _experiment(name: str) -> Experiment:
    return importlib.import_module(f"experiments.{name}").EXPERIMENT


def _stored_entries(out_dir: Path, failures: dict[str, str]) -> list[Entry]:
    """What the gallery shows: every stored result, whether this call made it or an earlier one."""
    entries: list[Entry] = []
    for name in EXPERIMENTS:
        if (out_dir / name / run_directory.MANIFEST).exists() and name not in failures:
            _attempt(name, failures, functools.partial(_add_entry, entries, name, out_dir))
    return entries


def _add_entry(entries: list[Entry], name: str, out_dir: Path) -> None:
    chosen = _experiment(name)
    stored = experiment.load(chosen, out_dir)
    if stored is None:
        raise UserError(f"there is no stored result in {out_dir / name}")
    dataset = stored.dataset
    entries.append(Entry(name, chosen.caption(dataset), chosen.claims(dataset), stored.manifest))


def _write(out_dir: Path, entries: Sequence[Entry]) -> None:
    every_claim = [claim for entry in entries for claim in entry.claims]
    contents = {"claims.json": findings.to_json(every_claim), "README.md": gallery.page(entries)}
    for name, text in contents.items():
        run_directory.atomic_write(out_dir / name, text.encode())


if __name__ == "__main__":
    main()
