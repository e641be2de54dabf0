"""Functions named on a command line: a registered estimator, `module:f`, or `path/to/file.py:f`."""

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from experiments.common.errors import UserError, did_you_mean
from maxpo_jax import estimators

FORMS = "a registered name, package.module:function, or path/to/file.py:function"


def load(spec: str) -> tuple[Callable[..., Any], str]:
    """The function that a SPEC names, and the file it is written in.

    Args:
      spec: a registered name, `package.module:function`, or `path/to/file.py:function`.

    Returns:
      (function or registered `Estimator`, path of its file, "" for a registered one).

    Raises:
      UserError: if there is no such name, module, file or function, or if the module fails while it
        is imported; then with the part of the traceback that lies in it.

    Example:
      >>> load("maxpo")[0].name, load("statistics:fmean")[0].__name__
      ('maxpo', 'fmean')
    """
    place, colon, name = spec.rpartition(":")
    if not colon:
        try:
            return estimators.get(spec), ""
        except ValueError as error:
            raise UserError(
                f"{error} A function of your own is {FORMS.partition(', ')[2]}."
            ) from None
    is_file = place.endswith(".py") or "/" in place
    module, path = _import_file(place) if is_file else _import_module(place)
    function: Any = module
    for part in name.split("."):
        function = getattr(function, part, None)
    if not callable(function):
        public = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        what = "does not exist" if function is None else "is not a function"
        raise UserError(f"{name!r} {what} in {place}: {did_you_mean(name, public)}")
    return function, path


def trimmed_traceback(error: BaseException, path: str) -> str:
    """The error with only those frames of its traceback that lie in the file at `path`."""
    report = traceback.TracebackException.from_exception(error)
    own = [frame for frame in report.stack if frame.filename == path]
    report.stack = traceback.StackSummary.from_list(own or list(report.stack)[-1:])
    report.__cause__ = report.__context__ = None
    return "".join(report.format()).rstrip()


def _import_file(place: str) -> tuple[ModuleType, str]:
    path = Path(place).resolve()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise UserError(f"there is no Python file {place}")
    sys.path.insert(0, str(path.parent))  # as `python path/to/file.py` does
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)  # dataclasses and pickling look themselves up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise UserError(_failed_import(place, error, str(path))) from error
    return module, str(path)


def _import_module(place: str) -> tuple[ModuleType, str]:
    path = ""
    try:
        found = importlib.util.find_spec(place)
        path = (found.origin or "") if found is not None else ""
        if found is not None:
            return importlib.import_module(place), path
    except ModuleNotFoundError as error:
        if path or not place.startswith(error.name or ""):
            raise UserError(_failed_import(place, error, path)) from error
    except (Exception, SystemExit) as error:
        raise UserError(_failed_import(place, error, path)) from error
    raise UserError(f"there is no module {place!r} to be found from here; a file needs its path")


def _failed_import(place: str, error: BaseException, path: str) -> str:
    return f"{place} fails while it is imported:\n{trimmed_traceback(error, path)}"
