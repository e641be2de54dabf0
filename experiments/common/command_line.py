"""Command lines: parsed, recorded without private paths, and answered with one line on mistakes."""

import errno
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from absl import flags

from experiments.common import early_interrupt
from experiments.common.configuration import MODES, PROJECT_ROOT
from experiments.common.errors import UserError

USER_ERROR = 2
INTERRUPTED = 130
SWITCHES = ("help", "force", "redraw")  # flags that take no value
OF_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
CONFIG_FIELD = re.compile(r"--?(no)?config\.")


def common_flags() -> flags.FlagValues:
    """Flags that every command has, in a set of their own: importing a command defines none."""
    values = flags.FlagValues()
    flags.DEFINE_boolean("help", False, "Show this help.", flag_values=values)
    flags.DEFINE_enum("mode", "full", MODES, "Size of the run.", flag_values=values)
    flags.DEFINE_string("out_dir", None, "Folder of the results.", flag_values=values)
    flags.DEFINE_boolean(
        "force", False, "Compute again what is stored already.", flag_values=values
    )
    return values


def parse(values: flags.FlagValues, arguments: Sequence[str]) -> None:
    """Parse arguments into `values`; raises UserError for one that is not understood."""
    try:
        rest = values(["command", *arguments])[1:]
    except flags.Error as error:
        raise UserError(" ".join(str(error).split())) from error
    if rest:
        raise UserError(f"argument {rest[0]!r} is not understood: write --flag=value")


def flag_help(values: flags.FlagValues) -> str:
    """One line per flag: what it does and its default."""
    lines = [
        f"  --{name}: {values[name].help} (default: {values[name].default})" for name in values
    ]
    return "\n".join(["flags:", *lines])


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Separate `--config.field=value` from the other arguments."""
    overrides = [argument for argument in arguments if CONFIG_FIELD.match(argument)]
    others = [argument for argument in arguments if not CONFIG_FIELD.match(argument)]
    return overrides, others


def split_fields(
    arguments: Sequence[str], flag_names: Sequence[str]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Separate flags of the form `--grid.field=value` or `--grid.field value` from the others.

    Args:
      arguments: the arguments.
      flag_names: the names before the dot.

    Returns:
      The value by field, by the name of the flag; and the other arguments.

    Raises:
      UserError: if a flag has no value, or is given twice.

    Example:
      >>> split_fields(["maze", "--grid.k=2,4"], ["grid", "run"])
      ({'grid': {'k': '2,4'}, 'run': {}}, ['maze'])
    """
    found: dict[str, dict[str, str]] = {name: {} for name in flag_names}
    others: list[str] = []
    remaining = list(arguments)
    while remaining:
        argument = remaining.pop(0)
        name, dot, field = argument.lstrip("-").partition(".")
        if not (argument.startswith("-") and dot and name in found):
            others.append(argument)
            continue
        field, equals, value = field.partition("=")
        if not equals:
            if not remaining or remaining[0].startswith("--"):
                raise UserError(f"{argument} is not understood: write {argument}=VALUE")
            value = remaining.pop(0)
        if field in found[name]:
            raise UserError(f"--{name}.{field} is given twice: keep one of them")
        found[name][field] = value
    return found, others


def command(module: str, arguments: Sequence[str]) -> str:
    """The command as one types it, from the root of the project."""
    return shlex.join(["python", "-m", module, *arguments])


NOT_RECORDED = ("out_dir", "store", "force", "workers", "cluster")  # they change no result


def recorded_command(module: str, arguments: Sequence[str]) -> str:
    """The command as it is stored: without where it ran and without private paths.

    Example:
      >>> recorded_command("experiments.x", ["--mode=full", "--out_dir=/home/me/x", "--force"])
      'python -m experiments.x --mode=full'
      >>> recorded_command("experiments.x", ["--grid.estimator=maxpo,/home/me/my.py:f"])
      'python -m experiments.x --grid.estimator=maxpo,my.py:f'
    """
    kept = without_flags(arguments, *NOT_RECORDED)
    return command(module, [_public(argument) for argument in kept])


def without_flags(arguments: Sequence[str], *names: str) -> list[str]:
    """The arguments without the named flags and their values."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        name, has_value, _ = argument.lstrip("-").partition("=")
        is_dropped = argument.startswith("-") and not {name, name.removeprefix("no")}.isdisjoint(
            names
        )
        if not (skip or is_dropped):
            kept.append(argument)
        skip = is_dropped and not has_value and name.removeprefix("no") not in SWITCHES
    return kept


def run_guarded(body: Callable[[], int], after_interrupt: Callable[[], str]) -> NoReturn:
    """Run a command and exit with its status; mistakes and Ctrl-C give one line, no traceback."""
    try:
        early_interrupt.hand_over()
        status = body()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = USER_ERROR
    except OSError as error:
        if error.errno not in OF_DISK:
            raise
        print(f"error: {error.strerror}: make room and repeat the command", file=sys.stderr)
        status = USER_ERROR
    except KeyboardInterrupt:
        with early_interrupt.ignored():
            print(f"\ninterrupted: {after_interrupt()}", file=sys.stderr)
        status = INTERRUPTED
    sys.exit(status)


def leave(main: Callable[[], None]) -> None:
    """Run a command and leave the process; after Ctrl-C at once, whatever its threads compute."""
    try:
        main()
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        if end.code == INTERRUPTED:
            os._exit(INTERRUPTED)
        raise


def _public(argument: str) -> str:
    flag, equals, value = argument.partition("=")
    values = (value if equals else flag).split(",")
    public = ",".join(map(_public_path, values))
    return f"{flag}={public}" if equals else public


def _public_path(text: str) -> str:
    path = Path(text)
    if not path.is_absolute():
        return text
    return str(path.relative_to(PROJECT_ROOT) if path.is_relative_to(PROJECT_ROOT) else path.name)
