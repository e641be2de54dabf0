"""Findings: a sentence, what was measured, and a verdict computed from the stored data."""

import dataclasses
import json
import shutil
import textwrap
from collections.abc import Iterable, Sequence

HEADINGS = ("finding", "measured", "verdict")
VERDICT_WIDTH = len("does not hold")
GAP = "  "
NARROWEST = 60  # columns; a narrower terminal gets lines of this length


@dataclasses.dataclass(frozen=True)
class Finding:
    """One statement about the stored data of a figure.

    `measured` and `holds` are computed from the data, whichever way they come out.

    Attributes:
      figure: name of the figure whose data decide.
      name: short identifier, unique within the figure.
      sentence: the statement, in words.
      measured: the quantity that decides it, as text with its uncertainty.
      holds: the verdict.
    """

    figure: str
    name: str
    sentence: str
    measured: str
    holds: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "holds", bool(self.holds))  # a NumPy bool is not JSON

    @property
    def verdict(self) -> str:
        """The verdict in words."""
        return "holds" if self.holds else "does not hold"


def table(findings: Sequence[Finding], width: int | None = None) -> str:
    """Plain-text table of findings, wrapped to the width of the terminal.

    Args:
      findings: the findings, in the order in which they are shown.
      width: number of columns; None takes the width of the terminal.

    Returns:
      The table, one line per row of text, without a trailing newline.

    Example:
      >>> print(table([Finding("toy", "sign", "x is positive", "x = 2", True)], width=60))
      finding                measured               verdict
      ---------------------  ---------------------  -------------
      toy: x is positive     x = 2                  holds
    """
    if not findings:
        return "no findings"
    width = max(width or shutil.get_terminal_size().columns, NARROWEST)
    text_width = (width - VERDICT_WIDTH - 2 * len(GAP)) // 2
    widths = (text_width, text_width, VERDICT_WIDTH)
    rows = [HEADINGS, tuple("-" * column for column in widths)]
    rows += [(f"{c.figure}: {c.sentence}", c.measured, c.verdict) for c in findings]
    return "\n".join(line for row in rows for line in _wrapped_row(row, widths))


def _wrapped_row(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    columns = [textwrap.wrap(cell, width) for cell, width in zip(cells, widths, strict=True)]
    height = max(len(column) for column in columns)
    padded = [column + [""] * (height - len(column)) for column in columns]
    return [
        GAP.join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in zip(*padded, strict=True)
    ]


def to_json(findings: Iterable[Finding]) -> str:
    """The findings as a JSON list of objects, one per finding, in order."""
    records = [dataclasses.asdict(finding) for finding in findings]
    return json.dumps(records, indent=2, ensure_ascii=False) + "\n"
