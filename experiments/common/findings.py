"""Findings: a sentence, the effects that were measured for it, and a verdict that follows."""

import dataclasses
import json
import math
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

HOLDS = "holds"
FAILS = "does not hold"
TIED = "tied"
UNDECIDED = "undecided"
OUTCOMES = ("", HOLDS, FAILS, TIED, UNDECIDED)
LONGEST_VERDICT = 80  # characters; a longer one counts its places
NARROWEST = 60  # columns; a narrower terminal gets lines of this length
MOST_DECIMALS = 6


@dataclasses.dataclass(frozen=True)
class Effect:
    """One number with its interval, and what it says about the sentence of a finding.

    Attributes:
      where: where it was measured, with its preposition: "on needle", "at K = 4"; "" for the whole.
      estimate: the number.
      low: lower end of its interval; the number itself where it is exact, NaN where unknown.
      high: upper end.
      outcome: one of `OUTCOMES`; "" where there is nothing to decide.
      signed: whether the sign is shown, as of a difference.
    """

    where: str
    estimate: float
    low: float
    high: float
    outcome: str = ""
    signed: bool = False

    def __post_init__(self) -> None:
        for name in ("estimate", "low", "high"):  # NumPy's numbers are not JSON
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.outcome not in OUTCOMES:
            raise ValueError(f"outcome is {self.outcome!r}; it must be one of {OUTCOMES}")
        if self.outcome in (HOLDS, FAILS, TIED) and not math.isfinite(self.low + self.high):
            raise ValueError(f"nothing can be decided by the interval [{self.low}, {self.high}]")

    @property
    def numbers(self) -> str:
        """The number and its interval.

        Example:
          >>> Effect("", 0.50123, 0.48961, 0.51298, signed=True).numbers
          '+0.501 [0.490, 0.513]'
          >>> Effect("", 2.5, 2.5, 2.5).numbers
          '2.5'
        """
        if not math.isfinite(self.estimate):
            return "unknown"
        sign = "+" if self.signed else ""
        width = self.high - self.low
        if not width > 0:
            return f"{self.estimate:{sign}z.3g}"
        decimals = min(max(0, -math.floor(math.log10(width / 3))), MOST_DECIMALS)
        low, high = (f"{end:z.{decimals}f}" for end in (self.low, self.high))
        return f"{self.estimate:{sign}z.{decimals}f} [{low}, {high}]"

    @property
    def text(self) -> str:
        """The numbers and where they were measured."""
        return f"{self.numbers} {self.where}".rstrip()


@dataclasses.dataclass(frozen=True)
class Finding:
    """One statement about the stored data of a figure, with what was measured for it.

    Attributes:
      figure: name of the figure whose data decide.
      name: short identifier, unique within the figure.
      sentence: the statement, in words.
      effects: what was measured.
      quantity: what the effects are, such as "J_8, MaxPO minus RLOO".
      measured: the effects in few words, where they are many; else their texts.
      paper: what the paper says about it; "" where it says nothing.
      tested: where its statement was tested, such as "bandits, B = 16, K = 4".
    """

    figure: str
    name: str
    sentence: str
    effects: Sequence[Effect]
    quantity: str
    measured: str = ""
    paper: str = ""
    tested: str = ""

    def __post_init__(self) -> None:
        if not self.effects:
            raise ValueError(f"{self.figure}, {self.name}: a finding without an effect")
        object.__setattr__(self, "effects", tuple(self.effects))
        if not self.measured:
            texts = "; ".join(effect.text for effect in self.effects)
            object.__setattr__(self, "measured", texts)

    @property
    def verdict(self) -> str | None:
        """What the outcomes of the effects come to; None where they decide nothing.

        Example:
          >>> more, same = Effect("on needle", 1, 1, 1, HOLDS), Effect("on ladder", 0, 0, 0, TIED)
          >>> Finding("toy", "name", "MaxPO is above EI", [more, same], "J_K").verdict
          'holds on needle; tied on ladder'
        """
        decided = [effect for effect in self.effects if effect.outcome]
        if not decided:
            return None
        places: dict[str, list[str]] = {}
        for outcome in OUTCOMES:
            where = [effect.where for effect in decided if effect.outcome == outcome]
            if where:
                places[outcome] = where
        if len(places) == 1:
            return next(iter(places))
        named = "; ".join(
            f"{outcome} {', '.join(where)}".rstrip() for outcome, where in places.items()
        )
        if len(named) <= LONGEST_VERDICT:
            return named
        counts = (f"{outcome} in {len(where)}" for outcome, where in places.items())
        return f"{', '.join(counts)} of {len(decided)}"

    @property
    def line(self) -> str:
        """The finding in one line: the sentence, what was measured, and the verdict."""
        verdict = "" if self.verdict is None else f" ({self.verdict})"
        return f"{self.sentence}: {self.measured}{verdict}"


def text(findings: Sequence[Finding], width: int | None = None) -> str:
    """The findings for a terminal: the first of each figure leads, the others follow.

    Args:
      findings: the findings, in the order in which they are shown.
      width: number of columns; None takes the width of the terminal.

    Returns:
      The text, one paragraph a finding, without a trailing newline.

    Example:
      >>> print(text([Finding("toy", "sign", "x is positive", [Effect("", 2, 2, 2)], "x")], 60))
      toy
        x is positive: 2
    """
    if not findings:
        return "no findings"
    width = max(width or shutil.get_terminal_size().columns, NARROWEST)
    lines: list[str] = []
    figure = None
    for finding in findings:
        if finding.figure != figure:
            figure = finding.figure
            lines += [figure] if not lines else ["", figure]
        lines += textwrap.wrap(finding.line, width, initial_indent="  ", subsequent_indent="      ")
    return "\n".join(lines)


def to_json(findings: Iterable[Finding]) -> str:
    """The findings as a JSON list of objects in order."""
    return json.dumps(records(findings), indent=2, ensure_ascii=False) + "\n"


def records(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """The findings as JSON holds them; a number that is not known, and what is empty, is null."""
    return [
        {
            "figure": finding.figure,
            "name": finding.name,
            "sentence": finding.sentence,
            "measured": finding.measured,
            "verdict": finding.verdict,
            "quantity": finding.quantity,
            "effects": [
                {
                    "where": effect.where,
                    "estimate": _known(effect.estimate),
                    "low": _known(effect.low),
                    "high": _known(effect.high),
                    "outcome": effect.outcome or None,
                }
                for effect in finding.effects
            ],
            "paper": finding.paper or None,
            "tested": finding.tested or None,
        }
        for finding in findings
    ]


def _known(number: float) -> float | None:
    """To eight digits: the last ones differ between processors."""
    return float(f"{number:.8g}") if math.isfinite(number) else None
