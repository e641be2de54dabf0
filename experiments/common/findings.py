"""Claims: a sentence, what was measured, and a verdict computed from the stored data."""

import dataclasses
import json
import shutil
import textwrap
from collections.abc import Iterable, Sequence

HEADINGS = ("claim", "measured", "verdict")
VERDICT_WIDTH = len("does not hold")
GAP = "  "
NARROWEST = 60  # columns; a narrower terminal gets lines of this length


@dataclasses.dataclass(frozen=True)
class Finding:
    """One statement about the stored data of an experiment.

    `measured` and `holds` are computed from the data, whichever way they come out.

    Attributes:
      experiment: name of the experiment whose data decide.
      name: short identifier, unique within the experiment.
      sentence: the statement, in words.
      measured: the quantity that decides it, as text with its uncertainty.
      holds: the verdict.
    """

    experiment: str
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


def table(claims: Sequence[Finding], width: int | None = None) -> str:
    """Plain-text table of claims, wrapped to the width of the terminal.

    Args:
      claims: the claims, in the order in which they are shown.
      width: number of columns; None takes the width of the terminal.

    Returns:
      The table, one line per row of text, without a trailing newline.

    Example:
      >>> print(table([Finding("toy", "sign", "x is positive", "x = 2", True)], width=60))
      claim                  measured               verdict
      ---------------------  ---------------------  -------------
      toy: x is positive     x = 2                  holds
    """
    if not claims:
        return "no claims"
    width = max(width or shutil.get_terminal_size().columns, NARROWEST)
    text_width = (width - VERDICT_WIDTH - 2 * len(GAP)) // 2
    widths = (text_width, text_width, VERDICT_WIDTH)
    rows = [HEADINGS, tuple("-" * column for column in widths)]
    rows += [(f"{c.experiment}: {c.sentence}", c.measured, c.verdict) for c in claims]
    return "\n".join(line for row in rows for line in _wrapped_row(row, widths))


def _wrapped_row(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    columns = [textwrap.wrap(cell, width) for cell, width in zip(cells, widths, strict=True)]
    height = max(len(column) for column in columns)
    padded = [column + [""] * (height - len(column)) for column in columns]
    return [
        GAP.join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in zip(*padded, strict=True)
    ]


def to_json(claims: Iterable[Finding]) -> str:
    """The claims as a JSON list of objects, one per claim, in order."""
    records = [dataclasses.asdict(claim) for claim in claims]
    return json.dumps(records, indent=2, ensure_ascii=False) + "\n"
