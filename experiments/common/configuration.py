"""Configurations: loaded from files, overridden by name, hashed, and read back from stored data."""

import hashlib
import importlib.util
import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import xarray as xr
from absl import flags
from ml_collections import ConfigDict, config_flags

from experiments.common.errors import UserError, did_you_mean

PROJECT_ROOT = Path(__file__).resolve().parents[2]
MODES = ("smoke", "full")


def resolve_config(
    name_or_path: str, mode: str = "full", overrides: Mapping[str, Any] | None = None
) -> ConfigDict:
    """The locked configuration of an experiment, ready to run.

    Args:
      name_or_path: name of an experiment (`configs/<name>.py` is read) or path of a config file.
      mode: "smoke" or "full".
      overrides: values by field name, which replace those of the file.

    Raises:
      UserError: if the file or a field does not exist, or a value has the wrong type.
    """
    if mode not in MODES:
        raise UserError(f"mode {mode!r} does not exist: {did_you_mean(mode, MODES)}")
    config = _load(_config_file(name_or_path), mode)
    override(config, overrides or {})
    return config


def override(config: ConfigDict, values: Mapping[str, Any]) -> None:
    """Set fields of a locked config, each to a value of the type that it has."""
    for field, value in values.items():
        _check_field(config, field)
        _set_field(config, field, value)


def override_from_flags(config: ConfigDict, arguments: Sequence[str]) -> None:
    """Apply command-line arguments of the form `--config.field=value` to a locked config.

    A tuple is written `1,2,3`, or as a Python literal in quotes.
    """
    fields = [_field_of(argument) for argument in arguments]
    for field in fields:
        _check_field(config, field)
    before = config.copy_and_resolve_references()
    pairs = zip(fields, arguments, strict=True)
    argv = ["overrides"]
    argv += [part for field, argument in pairs for part in _split_names(config[field], argument)]
    try:
        parser = flags.FlagValues()
        config_flags.DEFINE_config_dict("config", config, flag_values=parser, sys_argv=argv)
        parser(argv)
    except (flags.Error, TypeError, ValueError) as error:
        raise UserError(_one_line(error)) from error
    for field in fields:
        config[field] = _matching_items(field, before[field], config[field])


def to_json(config: ConfigDict) -> str:
    """The configuration as JSON with sorted keys: equal configurations give equal text."""
    return json.dumps(config.to_dict(), indent=2, sort_keys=True) + "\n"


def config_hash(config: ConfigDict) -> str:
    """SHA-256 of the resolved configuration."""
    return hashlib.sha256(to_json(config).encode()).hexdigest()


def stored_config(dataset: xr.Dataset) -> ConfigDict:
    """The configuration that produced a stored dataset; sequences come back as tuples."""
    return ConfigDict(_as_tuples(json.loads(dataset.attrs["config"]))).lock()


def _config_file(name_or_path: str) -> Path:
    if not name_or_path.endswith(".py"):
        return PROJECT_ROOT / "configs" / f"{name_or_path}.py"
    path = Path(name_or_path)
    return path if path.exists() else PROJECT_ROOT / path


def _load(path: Path, mode: str) -> ConfigDict:
    get_config = _get_config_function(path)
    try:
        config = get_config(mode)
    except Exception as error:
        raise _config_error(path, error) from error
    if not isinstance(config, ConfigDict):
        kind = type(config).__name__
        raise UserError(f"get_config of config file {path} returns {kind}, not a ConfigDict")
    return config.lock()


def _get_config_function(path: Path) -> Callable[[str], Any]:
    if not path.is_file():
        names = [file.stem for file in path.parent.glob("[!_]*.py")]
        hint = did_you_mean(path.stem, names) if names else "give the path of a .py file"
        raise UserError(f"config file {path} does not exist; {hint}")
    try:
        module = _import_file(path)
    except Exception as error:
        raise _config_error(path, error) from error
    if not callable(getattr(module, "get_config", None)):
        raise UserError(f"config file {path} has no function get_config(mode)")
    return module.get_config


def _import_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"loaded_config_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _config_error(path: Path, error: Exception) -> UserError:
    places = [
        f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)
    ]
    line = f", line {places[-1]}" if places else ""
    return UserError(f"config file {path}{line}: {type(error).__name__}: {_one_line(error)}")


def _field_of(argument: str) -> str:
    return argument.partition(".")[2].partition("=")[0]


def _split_names(default: Any, argument: str) -> list[str]:
    """Arguments that give the names of `argument`, `--config.field=a,b`, one at a time."""
    flag, _, value = argument.partition("=")
    holds_names = isinstance(default, tuple) and all(isinstance(item, str) for item in default)
    if not holds_names or value.startswith(("(", "[")):
        return [argument]
    return [f"{flag}={name.strip()}" for name in value.split(",")]


def _matching_items(field: str, default: Any, value: Any) -> Any:
    """`value`, where it is a tuple with its items checked against those of the default."""
    if not isinstance(default, tuple) or not default:
        return value
    expected = type(default[0])
    allowed = (int, float) if expected is float else (expected,)
    for item in value:
        if type(item) not in allowed:
            raise UserError(f"config field {field} takes {expected.__name__} items, not {item!r}")
    return tuple(expected(item) for item in value)


def _check_field(config: ConfigDict, field: str) -> None:
    if field not in config:
        raise UserError(f"the config has no field {field!r}; {did_you_mean(field, config.keys())}")


def _set_field(config: ConfigDict, field: str, value: Any) -> None:
    expected, given = config.get_type(field), type(value)
    is_number = {expected, given} <= {int, float} and expected is float
    if given is not expected and not is_number:
        raise UserError(
            f"config field {field} takes {expected.__name__}, not {value!r} ({given.__name__})"
        )
    config[field] = _matching_items(field, config[field], expected(value))


def _as_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_tuples(item) for name, item in value.items()}
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list) else value


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
