"""The plan of a grid: its runs, and the chunks that compute them, each with its key.

A chunk is one setting and one aligned block of seeds, all of them, whoever asked for how many; so
what is in it follows from the runs alone, and grids that overlap share their results.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ml_collections import FrozenConfigDict

from experiments.common.errors import UserError
from experiments.engine import code
from experiments.engine.grid import Axis, field_value, product
from experiments.engine.measurement import ESTIMATOR, SEED, Measurement, load

MAX_REASONS = 3


class Address(NamedTuple):
    """Where the result of a run is in the store.

    Attributes:
      group: key of its setting, without the fields `together`, and block of seeds.
      member: key of its fields `together`.
      seed: its seed, 0 where the measurement has none.
    """

    group: str
    member: str
    seed: int


class Run(NamedTuple):
    """One run of a grid.

    Attributes:
      setting: the fields that the axes set.
      fields: all fields.
      refused: why the run makes no sense, "" where it does.
      address: where its result is in the store; None for a refused run.
    """

    setting: dict[str, Any]
    fields: dict[str, Any]
    refused: str
    address: Address | None


@dataclasses.dataclass(frozen=True)
class Chunk:
    """What is computed by one call and stored as one file.

    Attributes:
      measurement: name of the measurement.
      code: hash of its code when the chunk was planned.
      fields: the fields of its runs, without the seed and the fields `together`.
      points: settings of the fields `together`; one empty setting where there are none.
      members: the key of each point.
      seeds: the aligned block of seeds.
      group: key of all this, without the points.
      program: text that chunks share which one compiled program computes.
      estimator_code: hash of the code of its estimators, "" if they are part of the library.
    """

    measurement: str
    code: str
    fields: dict[str, Any]
    points: tuple[dict[str, Any], ...]
    members: tuple[str, ...]
    seeds: tuple[int, ...]
    group: str
    program: str
    estimator_code: str = ""

    def with_members(self, members: Sequence[str]) -> "Chunk":
        """The chunk with some of its points alone."""
        kept = [pair for pair in zip(self.points, self.members, strict=True) if pair[1] in members]
        points, keys = zip(*kept, strict=True)
        return dataclasses.replace(self, points=points, members=keys)

    @property
    def estimators(self) -> set[str]:
        """The estimators of its runs."""
        return {
            str(fields[ESTIMATOR]) for fields in (self.fields, *self.points) if ESTIMATOR in fields
        }


@dataclasses.dataclass(frozen=True)
class Plan:
    """All runs of a grid, in the order of its axes, the last axis fastest.

    Attributes:
      name: of the measurement.
      measurement: the measurement.
      code: hash of its code.
      fields: the fields of one run, before the axes set any.
      axes: the axes.
      runs: the runs.
      chunks: what computes them, chunks of one program adjacent.
    """

    name: str
    measurement: Measurement
    code: str
    fields: dict[str, Any]
    axes: tuple[Axis, ...]
    runs: tuple[Run, ...]
    chunks: tuple[Chunk, ...]

    @property
    def num_programs(self) -> int:
        """How many programs are compiled for it."""
        return len({chunk.program for chunk in self.chunks})

    def refusals(self) -> dict[str, list[Run]]:
        """The runs that make no sense, by the reason."""
        found: dict[str, list[Run]] = {}
        for run in self.runs:
            if run.refused:
                found.setdefault(run.refused, []).append(run)
        return found


def make_plan(
    name: str,
    measurement: Measurement | None = None,
    base_fields: Mapping[str, Any] | None = None,
    axes: Sequence[Axis] = (),
) -> Plan:
    """The plan of a grid over a measurement.

    Args:
      name: name of the measurement, or of a module that defines one.
      measurement: the measurement; by default that of the name.
      base_fields: fields of every run, beside the defaults of the measurement.
      axes: the axes; see `grid.parse_axes`.

    Raises:
      UserError: if no run makes sense, or a field or an estimator does not exist.
    """
    measurement = load(name) if measurement is None else measurement
    known = measurement.fields
    given = dict(base_fields or {})
    fields = dict(known) | {field: field_value(known, field, v) for field, v in given.items()}
    planner = _Planner(name, measurement)
    runs = tuple(planner.run(fields | setting, setting) for setting in product(axes))
    plan = Plan(name, measurement, planner.code, fields, tuple(axes), runs, planner.chunks(runs))
    if all(run.refused for run in runs):
        reasons = list(plan.refusals())
        more = f"; and {len(reasons) - MAX_REASONS} more" if len(reasons) > MAX_REASONS else ""
        raise UserError(f"no run makes sense: {'; '.join(reasons[:MAX_REASONS])}{more}")
    return plan


def check_estimators(axes: Sequence[Axis]) -> None:
    """Refuse an estimator on an axis that cannot be loaded: a mistake, and no point of the grid.

    Raises:
      UserError: naming what is wrong.
    """
    named = [axis.values(ESTIMATOR) for axis in axes if ESTIMATOR in axis.fields]
    if named:
        from experiments.common.estimator_spec import resolve  # JAX comes with it

        for spec in dict.fromkeys(spec for values in named for spec in values):
            resolve(str(spec))


def in_words(setting: Mapping[str, Any]) -> str:
    """A setting in words.

    Example:
      >>> in_words({"k": 4, "learning_rate": 0.1})
      'k=4 learning_rate=0.1'
    """
    return " ".join(f"{name}={value}" for name, value in setting.items()) or "the defaults"


class _Planner:
    """Gives runs their addresses; what runs share is found once."""

    def __init__(self, name: str, measurement: Measurement) -> None:
        self.name = name
        self.measurement = measurement
        self.code = code.measurement_code(name)
        self._identity = functools.cache(code.estimator_identity)
        self._reasons: dict[str, str] = {}

    def run(self, fields: dict[str, Any], setting: dict[str, Any]) -> Run:
        if reason := self._refused(fields):
            return Run(setting, fields, reason, None)
        seed = fields.get(SEED, 0)
        alone, point = self._split(fields)
        content = {
            "measurement": self.name,
            "code": self.code,
            "fields": self._identified(alone),
            "seeds": self._block(seed),
        }
        return Run(setting, fields, "", Address(_key(content), self._member(point), seed))

    def chunks(self, runs: Sequence[Run]) -> tuple[Chunk, ...]:
        """The chunks of runs; estimators of different sources are apart."""
        found: dict[tuple[str, str], dict[str, Run]] = {}
        for run in runs:
            if run.address is not None:
                group = (run.address.group, self._source(run.fields))
                found.setdefault(group, {}).setdefault(run.address.member, run)
        chunks = [self._chunk(group, members) for (group, _), members in found.items()]
        order = {program: i for i, program in enumerate(dict.fromkeys(c.program for c in chunks))}
        return tuple(sorted(chunks, key=lambda chunk: order[chunk.program]))

    def _chunk(self, group: str, members: Mapping[str, Run]) -> Chunk:
        first = next(iter(members.values()))
        alone, _ = self._split(first.fields)
        points = [(self._split(run.fields)[1], member) for member, run in members.items()]
        points.sort(key=lambda pair: tuple(pair[0].values()))
        static = {name: v for name, v in alone.items() if name not in self.measurement.traced}
        settings, keys = zip(*points, strict=True)
        source = self._source(first.fields)
        program = _text([static, settings, source])
        seeds = tuple(self._block(first.fields.get(SEED, 0)))
        return Chunk(self.name, self.code, alone, settings, keys, seeds, group, program, source)

    def _refused(self, fields: Mapping[str, Any]) -> str:
        of_setting = {name: value for name, value in fields.items() if name != SEED}
        text = _text(of_setting)
        if text not in self._reasons:
            try:
                reason = self.measurement.refuse(FrozenConfigDict(of_setting))
            except ValueError as error:
                reason = " ".join(str(error).split())
            self._reasons[text] = reason
        return self._reasons[text]

    def _split(self, fields: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The fields without the seed, apart from those `together`."""
        together = self.measurement.together
        alone = {n: value for n, value in fields.items() if n != SEED and n not in together}
        return alone, {name: fields[name] for name in together}

    def _member(self, point: Mapping[str, Any]) -> str:
        return _key(self._identified(point))[:16] if point else ""

    def _identified(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        if ESTIMATOR not in fields:
            return dict(fields)
        return dict(fields) | {ESTIMATOR: list(self._identity(fields[ESTIMATOR]))}

    def _source(self, fields: Mapping[str, Any]) -> str:
        """Code of the estimator, "" where it is part of the library, or there is none."""
        return self._identity(fields[ESTIMATOR]).code if ESTIMATOR in fields else ""

    def _block(self, seed: int) -> list[int]:
        if SEED not in self.measurement.fields:
            return [0]
        size = self.measurement.seeds_per_chunk
        first = seed // size * size
        return list(range(first, first + size))


def _text(content: Any) -> str:
    return json.dumps(content, sort_keys=True)


def _key(content: Any) -> str:
    return hashlib.sha256(_text(content).encode()).hexdigest()
