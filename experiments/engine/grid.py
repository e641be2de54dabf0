"""Axes over the fields of a measurement, from flags or from the values of a config.

    --grid.k=2,4,8                          a list
    --grid.learning_rate=log:1e-3:1e-1:5    5 values, both ends among them, evenly spaced in log
    --grid.initial_logit=lin:-1:1:3         3 values, both ends among them, evenly spaced
    --grid.group_size=8:33:8                integers from 8, below 33, in steps of 8
    --grid.seed=0:20                        20 seeds; --grid.seed=5 is the seed 5 alone
    --zip.k=2,4 --zip.group_size=8,16       all zipped fields advance together, along one axis
    --random.learning_rate=log:1e-4:1e-1 --random.k=2:9 --num_samples=30
                                            each sample draws every such field anew

In a config the values of an axis are a tuple, a single value, or one of these texts.
"""

import difflib
import hashlib
import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.common.errors import UserError
from experiments.engine.measurement import ESTIMATOR, SEED

ZIPPED = "zipped"
SAMPLE = "sample"
RANGE = re.compile(r"[+-]?\d+:[+-]?\d+(:[+-]?\d+)?")
SIZE = re.compile(r"num_\w+|\w*size|\w+_per_\w+|k|depth|rank")
SIGNIFICANT_DIGITS = 6  # of a spaced or drawn value: short to read, and the same everywhere
MAX_VALUES_SHOWN = 6
LARGEST_SEED = 2**31 - 1  # seeds are 32-bit integers
ABBREVIATIONS = {
    "lr": "learning_rate",
    "alpha": "learning_rate",
    "b": "group_size",
    "batch_size": "group_size",
    "n": "num_actions",
    "arms": "num_actions",
    "num_arms": "num_actions",
    "steps": "num_updates",
    "num_steps": "num_updates",
    "method": "estimator",
    "algorithm": "estimator",
}


class Axis(NamedTuple):
    """One axis of a grid.

    Attributes:
      name: the dimension of the dataset.
      settings: at each position along the axis, the fields that it sets.
      log: the fields whose values are spaced or drawn evenly in log.
    """

    name: str
    settings: tuple[dict[str, Any], ...]
    log: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that the axis sets."""
        return tuple(self.settings[0])

    def values(self, field: str) -> list[Any]:
        """The values of a field along the axis."""
        return [setting[field] for setting in self.settings]


def parse_axes(
    fields: Mapping[str, Any],
    *,
    grid: Mapping[str, Any] | None = None,
    zipped: Mapping[str, Any] | None = None,
    random: Mapping[str, Any] | None = None,
    num_samples: int = 0,
    search_seed: int = 0,
) -> tuple[Axis, ...]:
    """The axes that flags or a config describe: grid, zipped, samples; the seed last.

    Args:
      fields: the fields of a measurement with their defaults, which give the types.
      grid: values by field, one axis each: a text, a tuple, or a single value.
      zipped: values by field, together one axis.
      random: ranges by field, together one axis of random samples.
      num_samples: how many samples; more samples keep the first ones.
      search_seed: seed of the random search.

    Raises:
      UserError: for an unknown field, a field named twice, a value that does not fit its field,
        and an axis without values.

    Example:
      >>> fields = {"k": 4, "seed": 0}
      >>> [axis.name for axis in parse_axes(fields, grid={"seed": "0:5", "k": (2, 8)})]
      ['k', 'seed']
    """
    axes = [_grid_axis(fields, name, values) for name, values in (grid or {}).items()]
    if zipped:
        axes.append(_zip_axis(fields, zipped))
    if random or num_samples:
        axes.append(_random_axis(fields, random or {}, num_samples, search_seed))
    swept = [field for axis in axes for field in axis.fields]
    for field in swept:
        if swept.count(field) > 1:
            raise UserError(f"field {field} is on two axes: keep one of them")
    return tuple(sorted(axes, key=lambda axis: axis.name == SEED))  # stable


def product(axes: Sequence[Axis]) -> Iterator[dict[str, Any]]:
    """The settings of every point of the grid that the axes span, the last axis fastest."""
    for settings in itertools.product(*(axis.settings for axis in axes)):
        yield {field: value for setting in settings for field, value in setting.items()}


def describe(axes: Sequence[Axis], fields: Mapping[str, Any]) -> str:
    """What was understood, in one line: the axes, their sizes, the number of runs.

    Example:
      >>> fields = {"k": 4, "seed": 0}
      >>> describe(parse_axes(fields, grid={"k": "2,8", "seed": "0:20"}), fields)
      'k: 2, 8 (2) x seed: 0 to 19 (20) = 40 runs'
    """
    num_runs = math.prod(len(axis.settings) for axis in axes)
    runs = "1 run" if num_runs == 1 else f"{num_runs} runs"
    if not axes:
        return f"no axis = {runs}"
    return f"{' x '.join(_axis_in_words(axis) for axis in axes)} = {runs}"


def check_field(name: str, known: Iterable[str], what: str = "the measurement has") -> str:
    """The name of a field, if it is known.

    Raises:
      UserError: if it is not; it offers the name that may be meant.

    Example:
      >>> check_field("lr", ["k", "learning_rate"])
      Traceback (most recent call last):
      experiments.common.errors.UserError: the measurement has no field 'lr': did you mean ...
    """
    known = sorted(known)
    if name in known:
        return name
    near = near_fields(name, known)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
    raise UserError(f"{what} no field {name!r}: {hint}")


def near_fields(name: str, known: Iterable[str]) -> list[str]:
    """The known fields that a name may mean.

    Example:
      >>> near_fields("K", ["k", "learning_rate"]), near_fields("lr", ["k", "learning_rate"])
      (['k'], ['learning_rate'])
    """
    by_lower = {field.lower(): field for field in known}
    lower = name.lower().replace("-", "_")
    for meant in (lower, ABBREVIATIONS.get(lower, ""), lower.removesuffix("s"), f"num_{lower}"):
        if meant in by_lower:
            return [by_lower[meant]]
    return [by_lower[near] for near in difflib.get_close_matches(lower, by_lower)]


def field_value(fields: Mapping[str, Any], name: str, value: Any) -> Any:
    """One value of a field, from a text or as it is, in the type of the field.

    Raises:
      UserError: if the field does not exist, or the value does not fit it.

    Example:
      >>> field_value({"learning_rate": 0.1}, "learning_rate", "1")
      1.0
    """
    check_field(name, fields)
    return checked(name, _typed(name, value, fields[name]), fields[name])


def checked(field: str, value: Any, default: Any) -> Any:
    """A value of a field, if it is possible: sizes are 1 or more, seeds 32-bit integers.

    Raises:
      UserError: if it is not.
    """
    if field == SEED and not 0 <= value <= LARGEST_SEED:
        raise UserError(f"seed is {value}; it must lie between 0 and {LARGEST_SEED}")
    is_size = type(default) is int and default >= 1 and SIZE.fullmatch(field)
    if is_size and value < 1:
        raise UserError(f"{field} is {value}; it must be 1 or more")
    return value


def _axis_in_words(axis: Axis) -> str:
    if axis.name in (ZIPPED, SAMPLE):
        what = "zipped" if axis.name == ZIPPED else "drawn"
        return f"({', '.join(axis.fields)} {what}) ({len(axis.settings)})"
    values = axis.values(axis.name)
    is_range = len(values) > 2 and all(
        type(low) is int and high == low + 1 for low, high in itertools.pairwise(values)
    )
    if is_range:
        shown = f"{values[0]} to {values[-1]}"
    elif len(values) > MAX_VALUES_SHOWN:
        shown = f"{_short(values[0])}, {_short(values[1])}, ..., {_short(values[-1])}"
    else:
        shown = ", ".join(map(_short, values))
    return f"{axis.name}: {shown} ({len(values)})"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _grid_axis(fields: Mapping[str, Any], name: str, values: Any) -> Axis:
    found = _values(fields, name, values)
    is_log = isinstance(values, str) and values.startswith("log:")
    return Axis(name, tuple({name: value} for value in found), (name,) if is_log else ())


def _zip_axis(fields: Mapping[str, Any], columns: Mapping[str, Any]) -> Axis:
    values = {name: _values(fields, name, given, True) for name, given in columns.items()}
    if len({len(column) for column in values.values()}) > 1:
        lengths = ", ".join(f"{name} has {len(column)}" for name, column in values.items())
        raise UserError(f"zipped fields need equally many values: {lengths}")
    rows = zip(*values.values(), strict=True)
    return Axis(ZIPPED, tuple(dict(zip(values, row, strict=True)) for row in rows))


def _random_axis(
    fields: Mapping[str, Any], ranges: Mapping[str, Any], num_samples: int, search_seed: int
) -> Axis:
    if not ranges or num_samples < 1:
        raise UserError(
            "a random search takes --random.FIELD=range at least once, and --num_samples of 1 or "
            f"more (given: {len(ranges)} times, and {num_samples})"
        )
    columns: dict[str, list[Any]] = {}
    for name, spec in ranges.items():
        check_field(name, fields)
        draw = _sampler(fields, name, spec)
        stream = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        uniform = np.random.default_rng([search_seed, stream]).random(num_samples)
        columns[name] = [checked(name, draw(float(u)), fields[name]) for u in uniform]
    rows = zip(*columns.values(), strict=True)
    settings = tuple(dict(zip(columns, row, strict=True)) for row in rows)
    log = tuple(name for name, spec in ranges.items() if str(spec).startswith("log:"))
    return Axis(SAMPLE, settings, log)


def _values(
    fields: Mapping[str, Any], name: str, given: Any, may_repeat: bool = False
) -> list[Any]:
    check_field(name, fields)
    default = fields[name]
    if isinstance(given, str):
        values = _from_text(name, given.strip(), default)
    else:
        items = given if isinstance(given, Sequence | np.ndarray) else [given]
        values = [_typed(name, item, default) for item in items]
    if not values:
        raise UserError(f"the axis {name}={given} is empty: give at least one value")
    for value in values:
        checked(name, value, default)
        if values.count(value) > 1 and not may_repeat:
            raise UserError(f"the axis {name}={given} has the value {value!r} twice")
    return values


def _from_text(name: str, text: str, default: Any) -> list[Any]:
    kind, *numbers = text.split(":")
    if kind in ("log", "lin") and numbers and name != ESTIMATOR:
        return _spaced(name, text, kind, numbers, default)
    if isinstance(default, float) and RANGE.fullmatch(text):
        raise UserError(f"{name} is a float: write {name}=lin:{text}, or lin:low:high:count")
    values: list[Any] = []
    for part in filter(None, map(str.strip, text.split(","))):
        if type(default) is int and RANGE.fullmatch(part):
            values += _integers(name, part)
        else:
            values.append(_typed(name, part, default))
    return values


def _integers(name: str, text: str) -> list[int]:
    bounds = [int(number) for number in text.split(":")]
    if len(bounds) == 3 and bounds[2] == 0:
        raise UserError(f"the range {text} of {name} has a step of 0")
    return list(range(*bounds))


def _spaced(name: str, text: str, kind: str, numbers: list[str], default: Any) -> list[Any]:
    if len(numbers) != 3 or not numbers[2].isdecimal():
        raise UserError(f"{name}={text} is not understood: write {name}={kind}:low:high:count")
    low, high = _ends(name, text, kind, numbers[:2], default)
    space = np.geomspace if kind == "log" else np.linspace
    values = [_rounded(float(value), default) for value in space(low, high, int(numbers[2]))]
    return list(dict.fromkeys(values)) if isinstance(default, int) else values


def _sampler(fields: Mapping[str, Any], name: str, spec: Any) -> Callable[[float], Any]:
    """How a uniform number in [0, 1) becomes a value of the field."""
    default = fields[name]
    kind, *numbers = str(spec).split(":")
    if kind in ("log", "lin") and isinstance(spec, str) and name != ESTIMATOR:
        if len(numbers) != 2:
            raise UserError(f"{name}={spec} is not understood: write {name}={kind}:low:high")
        low, high = _ends(name, spec, kind, numbers, default)
        if kind == "log":
            return lambda u: _rounded(low * (high / low) ** u, default)
        return lambda u: _rounded(low + (high - low) * u, default)
    values = _values(fields, name, spec)
    return lambda u: values[int(u * len(values))]


def _ends(
    name: str, text: str, kind: str, numbers: Sequence[str], default: Any
) -> tuple[float, float]:
    if isinstance(default, bool | str):
        raise UserError(f"{name} holds no number: list its values, {name}=a,b")
    low, high = (_typed(name, number, 0.0) for number in numbers)
    if not low < high:
        raise UserError(f"the range {text} of {name} is empty: its ends must increase")
    if kind == "log" and low <= 0:
        raise UserError(f"the range {text} of {name} must lie above 0 for a log scale")
    return low, high


def _rounded(value: float, default: Any) -> Any:
    return round(value) if isinstance(default, int) else float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def _typed(name: str, value: Any, default: Any) -> Any:
    kind = type(default)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        value = _from_word(name, value.strip(), kind)
    is_number = kind is float and type(value) is int
    if type(value) is not kind and not is_number:
        raise UserError(f"field {name} takes {kind.__name__}, not {value!r}")
    if kind is float and not math.isfinite(value):
        raise UserError(f"field {name} takes finite numbers, not {value!r}")
    return kind(value)


def _from_word(name: str, text: str, kind: type) -> Any:
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise UserError(f"field {name} takes true or false, not {text!r}")
        return text.lower() == "true"
    try:
        return kind(text)
    except ValueError as error:
        raise UserError(f"field {name} takes {kind.__name__}, not {text!r}") from error
