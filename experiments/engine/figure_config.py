"""The config of a figure: fields of its runs and axes of its grids, checked, with flags applied.

`config.run` holds fields that are common to the grids of the figure, each for those grids whose
measurement has it; `config.grid` holds the axes by the name of the grid; the rest is for
`summarize` and `draw` alone. On a command line:

    --run.group_size=32           a field, in every grid that has it
    --grid.by_k.k=2,4,8           an axis of one grid
    --grid.k=2,4,8                this axis in every grid that has it
    --config.num_tuning_seeds=4   any other field of the config
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from experiments.common import configuration
from experiments.common.errors import UserError, did_you_mean
from experiments.engine import grid, measurement
from experiments.engine.figure import Figure
from experiments.engine.measurement import ESTIMATOR, SEED

FLAG = re.compile(r"--?(?P<kind>run|grid|config)\.(?P<name>[^=]+)=(?P<value>.*)", re.DOTALL)
OTHER_SEED = re.compile(r"\w+_seed")  # a field such as bandit_seed


class Override(NamedTuple):
    """One flag: `--kind.name=value`."""

    kind: str
    name: str
    value: str

    @property
    def flag(self) -> str:
        """The flag without its value."""
        return f"--{self.kind}.{self.name}"


def split_overrides(arguments: Sequence[str]) -> tuple[list[Override], list[str]]:
    """Separate `--run.`, `--grid.` and `--config.` from the other arguments.

    Example:
      >>> split_overrides(["--grid.k=2,4", "--mode=smoke"])
      ([Override(kind='grid', name='k', value='2,4')], ['--mode=smoke'])
    """
    matches = [(argument, FLAG.fullmatch(argument)) for argument in arguments]
    overrides = [Override(**match.groupdict()) for _, match in matches if match]
    return overrides, [argument for argument, match in matches if not match]


def override(figure: Figure, config: ConfigDict, overrides: Sequence[Override]) -> set[Override]:
    """Apply flags to the config of a figure; returns those that have a meaning for it.

    Raises:
      UserError: if a value does not fit its field.
    """
    used = set()
    for one in overrides:
        setters = {"run": _set_field, "grid": _set_axis, "config": _set_other}
        if setters[one.kind](figure, config, one):
            used.add(one)
    return used


def known_names(figure: Figure, config: ConfigDict, kind: str) -> set[str]:
    """The names that a flag of a kind may have."""
    if kind == "run":
        return set(_common_fields(figure))
    if kind == "grid":
        grids = config.get("grid", {})
        axes = {name for of_grid in grids.values() for name in of_grid}
        return axes | {f"{g}.{name}" for g, of_grid in grids.items() for name in of_grid}
    return set(config) - {"run", "grid"}


def add_estimators(config: ConfigDict, specs: Sequence[str]) -> None:
    """Put estimators behind those of every axis of estimators."""
    for axes in config.get("grid", {}).values():
        if ESTIMATOR in axes:
            values = axes[ESTIMATOR]
            values = tuple(values.split(",")) if isinstance(values, str) else tuple(values)
            with axes.unlocked(), axes.ignore_type():
                axes[ESTIMATOR] = values + tuple(spec for spec in specs if spec not in values)


def shift_seeds(figure: Figure, config: ConfigDict, first: int) -> None:
    """Let every axis of seeds, and every other seed of the runs, begin later by `first`."""
    with config.unlocked(), config.ignore_type():
        for name, axes in config.get("grid", {}).items():
            if SEED in axes:
                (axis,) = grid.parse_axes(_fields(figure, name), grid={SEED: axes[SEED]})
                axes[SEED] = tuple(seed + first for seed in axis.values(SEED))
        for field in config.get("run", {}):
            if OTHER_SEED.fullmatch(field):
                config.run[field] += first


def user_estimators(config: ConfigDict) -> list[str]:
    """The functions of the user on the axes of a config, each once."""
    specs: list[str] = []
    for axes in config.get("grid", {}).values():
        values = axes.get(ESTIMATOR, ())
        specs += values.split(",") if isinstance(values, str) else values
    return [spec for spec in dict.fromkeys(specs) if ":" in spec]


def resolve(figure: Figure, config: ConfigDict) -> ConfigDict:
    """The config with the values of every axis as a tuple, checked.

    Raises:
      UserError: if a field does not exist, a value does not fit, or the config makes no sense.
    """
    for name in config.get("grid", {}):
        if name not in figure.grids:
            raise UserError(
                f"figure {figure.name} has no grid {name!r}; {did_you_mean(name, figure.grids)}"
            )
    resolved = ConfigDict(config.to_dict())
    common = _common_fields(figure)
    for field, value in config.get("run", {}).items():
        resolved.run[field] = grid.field_value(common, field, value)
    for name, axes in axes_of(figure, config).items():
        resolved.grid[name] = {axis.name: tuple(axis.values(axis.name)) for axis in axes}
    try:
        figure.check(resolved)
    except ValueError as error:
        raise UserError(f"the config of {figure.name} makes no sense: {error}") from error
    return resolved.lock()


def axes_of(figure: Figure, config: ConfigDict) -> dict[str, tuple[grid.Axis, ...]]:
    """The axes of each grid."""
    return {
        name: grid.parse_axes(_fields(figure, name), grid=dict(axes))
        for name, axes in config.get("grid", {}).items()
    }


def fields_of(figure: Figure, config: ConfigDict, name: str) -> dict[str, Any]:
    """The fields of `config.run` that the measurement of a grid has."""
    fields = _fields(figure, name)
    return {field: value for field, value in config.get("run", {}).items() if field in fields}


def _common_fields(figure: Figure) -> Mapping[str, Any]:
    found: dict[str, Any] = {}
    for name in figure.grids.values():
        fields = measurement.load(name).fields
        found |= {field: value for field, value in fields.items() if field != SEED}
    return found


def _set_field(figure: Figure, config: ConfigDict, one: Override) -> bool:
    fields = _common_fields(figure)
    if one.name not in fields:
        return False
    on_axes = [name for name, axes in config.grid.items() if one.name in axes]
    if len(on_axes) == len([g for g in config.grid if one.name in _fields(figure, g)]):
        raise UserError(
            f"{one.flag}: {one.name} is an axis of {figure.name}; write --grid.{one.name}="
        )
    with config.unlocked():
        config.run[one.name] = grid.field_value(fields, one.name, one.value)
    return True


def _set_axis(figure: Figure, config: ConfigDict, one: Override) -> bool:
    of_grid, _, field = one.name.rpartition(".")
    names = [of_grid] if of_grid else list(config.get("grid", {}))
    found = [name for name in names if name in config.grid and field in config.grid[name]]
    for name in found:
        (axis,) = grid.parse_axes(_fields(figure, name), grid={field: one.value})
        with config.unlocked(), config.ignore_type():
            config.grid[name][field] = tuple(axis.values(field))
    return bool(found)


def _set_other(figure: Figure, config: ConfigDict, one: Override) -> bool:
    if one.name not in known_names(figure, config, "config"):
        return False
    configuration.override_from_flags(config, [f"--config.{one.name}={one.value}"])
    return True


def _fields(figure: Figure, grid_name: str) -> Mapping[str, Any]:
    return measurement.load(figure.grids[grid_name]).fields
