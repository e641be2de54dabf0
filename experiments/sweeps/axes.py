"""The axes of a sweep, parsed from flags: grids, zipped axes, random search and seeds.

    --grid=k=2,4,8                          a list
    --grid=learning_rate=log:1e-3:1e-1:5    5 values, both ends among them, evenly spaced in log
    --grid=initial_logit=lin:-1:1:3         3 values, both ends among them, evenly spaced
    --grid=group_size=8:33:8                integers from 8, below 33, in steps of 8
    --seeds=0:20                            short for --grid=seed=0:20
    --zip=k=2,4 --zip=group_size=8,16       all zipped fields advance together, along one axis
    --random=learning_rate=log:1e-4:1e-1 --random=k=2:9 --num_samples=30
                                            each sample draws every such field anew

The axes of a sweep are the dimensions of its dataset, in the order grid, zip, random, seed.
"""

import hashlib
import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from experiments.common.errors import UserError, did_you_mean

ZIPPED = "zipped"
SAMPLE = "sample"
RANGE = re.compile(r"[+-]?\d+:[+-]?\d+(:[+-]?\d+)?")
SIGNIFICANT_DIGITS = 6  # of a spaced or drawn value: short to read, and the same everywhere


class Axis(NamedTuple):
    """One axis of a sweep.

    Attributes:
      name: the dimension of the merged dataset.
      settings: at each position along the axis, the fields that it sets.
    """

    name: str
    settings: tuple[dict[str, Any], ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that the axis sets."""
        return tuple(self.settings[0])


def parse_axes(
    config: ConfigDict,
    *,
    grid: Sequence[str] = (),
    zipped: Sequence[str] = (),
    random: Sequence[str] = (),
    num_samples: int = 0,
    search_seed: int = 0,
    seeds: str | None = None,
) -> tuple[Axis, ...]:
    """The axes that the flags describe, seeds last.

    Args:
      config: the config of one run; it knows the fields and their types.
      grid: texts "field=values", one axis each.
      zipped: texts "field=values", together one axis.
      random: texts "field=range", together one axis of random samples.
      num_samples: how many samples; more samples keep the first ones.
      search_seed: seed of the random search.
      seeds: values of the field `seed`, or None for the one of the config.

    Raises:
      UserError: for an unknown field, a field named twice, a value that does not fit its field,
        and an axis without values.

    Example:
      >>> config = ConfigDict({"k": 4, "seed": 0})
      >>> [axis.name for axis in parse_axes(config, grid=["k=2,8"], seeds="0:5")]
      ['k', 'seed']
    """
    axes = [_grid_axis(config, text, "--grid") for text in grid]
    if zipped:
        axes.append(_zip(config, zipped))
    if random or num_samples:
        axes.append(_random_axis(config, random, num_samples, search_seed))
    if seeds is not None:
        axes.append(_grid_axis(config, f"seed={seeds}", "--seeds"))
    fields = [field for axis in axes for field in axis.fields]
    for field in fields:
        if fields.count(field) > 1:
            raise UserError(f"field {field} is on two axes: keep one of them")
    return tuple(axes)


def product(axes: Sequence[Axis]) -> Iterator[dict[str, Any]]:
    """The settings of every point of the grid that the axes span, the last axis fastest."""
    for settings in itertools.product(*(axis.settings for axis in axes)):
        yield {field: value for setting in settings for field, value in setting.items()}


def _grid_axis(config: ConfigDict, text: str, flag: str) -> Axis:
    field, values = _field_values(config, text, flag)
    return Axis(field, tuple({field: value} for value in values))


def _zip(config: ConfigDict, texts: Sequence[str]) -> Axis:
    columns = dict(_field_values(config, text, "--zip") for text in texts)
    if len(columns) < len(texts):
        raise UserError("a field is zipped twice: keep one of them")
    if len({len(values) for values in columns.values()}) > 1:
        lengths = ", ".join(f"{field} has {len(values)}" for field, values in columns.items())
        raise UserError(f"zipped fields need equally many values: {lengths}")
    rows = zip(*columns.values(), strict=True)
    return Axis(ZIPPED, tuple(dict(zip(columns, row, strict=True)) for row in rows))


def _random_axis(
    config: ConfigDict, texts: Sequence[str], num_samples: int, search_seed: int
) -> Axis:
    if not texts or num_samples < 1:
        raise UserError(
            "a random search takes --random=field=range at least once, and --num_samples of 1 or "
            f"more (given: {len(texts)} times, and {num_samples})"
        )
    columns: dict[str, list[Any]] = {}
    for text in texts:
        field, spec = _split(config, text, "--random")
        if field in columns:
            raise UserError(f"field {field} is drawn twice: keep one of them")
        draw = _sampler(field, spec, config[field])
        stream = int.from_bytes(hashlib.sha256(field.encode()).digest()[:8], "big")
        uniform = np.random.default_rng([search_seed, stream]).random(num_samples)
        columns[field] = [draw(float(u)) for u in uniform]
    rows = zip(*columns.values(), strict=True)
    return Axis(SAMPLE, tuple(dict(zip(columns, row, strict=True)) for row in rows))


def _field_values(config: ConfigDict, text: str, flag: str) -> tuple[str, list[Any]]:
    field, spec = _split(config, text, flag)
    values = _values(field, spec, config[field])
    if not values:
        raise UserError(f"the axis {flag}={text} is empty: give at least one value")
    for value in values:
        if values.count(value) > 1:
            raise UserError(f"the axis {flag}={text} has the value {value!r} twice")
    return field, values


def _split(config: ConfigDict, text: str, flag: str) -> tuple[str, str]:
    field, equals, spec = text.partition("=")
    if not equals:
        raise UserError(f"{flag}={text} is not understood: write {flag}=field=values")
    if field not in config:
        raise UserError(f"the config has no field {field!r}; {did_you_mean(field, config.keys())}")
    if not isinstance(config[field], bool | int | float | str):
        kind = type(config[field]).__name__
        raise UserError(
            f"field {field} holds a {kind}, and an axis takes single values; "
            f"it can be set for the whole sweep by --config.{field}=..."
        )
    return field, spec.strip()


def _values(field: str, spec: str, default: Any) -> list[Any]:
    kind, *numbers = spec.split(":")
    if kind in ("log", "lin"):
        return _spaced(field, spec, kind, numbers, default)
    if isinstance(default, int) and RANGE.fullmatch(spec):
        bounds = [int(number) for number in spec.split(":")]
        if len(bounds) == 3 and bounds[2] == 0:
            raise UserError(f"the range {spec} of {field} has a step of 0")
        return list(range(*bounds))
    if isinstance(default, float) and RANGE.fullmatch(spec):
        raise UserError(f"{field} is a float: write {field}=lin:{spec}, or lin:low:high:count")
    return [_typed(field, value.strip(), default) for value in spec.split(",") if value.strip()]


def _spaced(field: str, spec: str, kind: str, numbers: list[str], default: Any) -> list[Any]:
    if len(numbers) != 3 or not numbers[2].isdecimal():
        raise UserError(f"{field}={spec} is not understood: write {field}={kind}:low:high:count")
    low, high = _ends(field, spec, kind, numbers[:2], default)
    space = np.geomspace if kind == "log" else np.linspace
    values = [_rounded(float(value), default) for value in space(low, high, int(numbers[2]))]
    return list(dict.fromkeys(values)) if isinstance(default, int) else values


def _sampler(field: str, spec: str, default: Any) -> Callable[[float], Any]:
    """How a uniform number in [0, 1) becomes a value of the field."""
    kind, *numbers = spec.split(":")
    if kind in ("log", "lin"):
        if len(numbers) != 2:
            raise UserError(f"{field}={spec} is not understood: write {field}={kind}:low:high")
        low, high = _ends(field, spec, kind, numbers, default)
        if kind == "log":
            return lambda u: _rounded(low * (high / low) ** u, default)
        return lambda u: _rounded(low + (high - low) * u, default)
    values = _values(field, spec, default)
    if not values:
        raise UserError(f"the range {spec!r} of {field} is empty: give at least one value")
    return lambda u: values[int(u * len(values))]


def _ends(
    field: str, spec: str, kind: str, numbers: Sequence[str], default: Any
) -> tuple[float, float]:
    if isinstance(default, bool | str):
        raise UserError(f"{field} holds no number: list its values, {field}=a,b")
    low, high = (_typed(field, number, 0.0) for number in numbers)
    if not low < high:
        raise UserError(f"the range {spec} of {field} is empty: its ends must increase")
    if kind == "log" and low <= 0:
        raise UserError(f"the range {spec} of {field} must lie above 0 for a log scale")
    return low, high


def _rounded(value: float, default: Any) -> Any:
    return round(value) if isinstance(default, int) else float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def _typed(field: str, text: str, default: Any) -> Any:
    kind = type(default)
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise UserError(f"field {field} takes true or false, not {text!r}")
        return text.lower() == "true"
    try:
        value = kind(text)
    except ValueError as error:
        raise UserError(f"field {field} takes {kind.__name__}, not {text!r}") from error
    if kind is float and not math.isfinite(value):
        raise UserError(f"field {field} takes finite numbers, not {text!r}")
    return value
