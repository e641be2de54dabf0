"""The page beside the figures: contents, what the paper says, and each figure with its findings."""

import dataclasses
import re
import textwrap
from collections.abc import Sequence
from typing import Any

from experiments.common.findings import Finding

LONGEST_CELL = 160
HEADER = """# Figures

Written by `python -m experiments.reproduce`. A figure is drawn from the `data.nc` beside it, and
its `manifest.json` says where the data come from; `findings.json` holds every number below.
Brackets are 95% intervals over seeds, jointly for the numbers of one finding. *Tied* is what is
shown to differ by less than 1%, *undecided* what the interval cannot tell.
"""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One stored result, as the gallery shows it; `details` is Markdown that is folded away."""

    name: str
    question: str
    caption: str
    findings: Sequence[Finding]
    manifest: dict[str, Any]
    details: str = ""


def page(entries: Sequence[Entry]) -> str:
    """The gallery as Markdown, with links relative to the folder of results."""
    return "\n".join([HEADER, _contents(entries), _paper(entries), *map(_section, entries)])


def finding_cell(
    sentence: str, measured: str, verdict: str | None, longest: int = LONGEST_CELL
) -> str:
    """A finding as a cell of a table: its verdict always, what was measured as far as it fits.

    Example:
      >>> finding_cell("MaxPO is above EI", "+0.5 on needle; +0.1 on ladder", "holds")
      'MaxPO is above EI: +0.5 on needle; +0.1 on ladder (holds)'
    """
    said = "" if verdict is None else f" ({verdict})"
    room = longest - len(said)
    text = sentence if len(sentence) <= room else textwrap.shorten(sentence, room, placeholder="…")
    return cell(_as_fits(text, measured, room)) + cell(said, keep_space=True)


def _as_fits(text: str, measured: str, room: int) -> str:
    """The text and whole parts of what was measured: cut numbers would mislead."""
    longer, glue = text, ": " if text else ""
    for part in re.split(r"(?<=;) ", measured):
        if not part or len(cell(f"{longer}{glue}{part}")) > room:
            break
        longer, glue = f"{longer}{glue}{part}", " "
    return longer.rstrip(";")


def _contents(entries: Sequence[Entry]) -> str:
    rows = ["| figure | question | finding |", "|---|---|---|"]
    for entry in entries:
        first = entry.findings[0] if entry.findings else None
        found = finding_cell(first.sentence, first.measured, first.verdict) if first else ""
        rows.append(f"| [{entry.name}](#{entry.name}) | {cell(entry.question)} | {found} |")
    return "\n".join(rows) + "\n"


def _paper(entries: Sequence[Entry]) -> str:
    """The paper's statements that the shown figures test, where, and what came out."""
    tests = [finding for entry in entries for finding in entry.findings if finding.paper]
    if not tests:
        return ""
    rows = ["| the paper says | tested on | measured | verdict |", "|---|---|---|---|"]
    for finding in sorted(tests, key=lambda one: [f.paper for f in tests].index(one.paper)):
        measured = _as_fits("", finding.measured, LONGEST_CELL)
        where = f"[{finding.tested}](#{finding.figure})"
        cells = (cell(finding.paper), where, cell(measured), cell(finding.verdict or "-"))
        rows.append(f"| {' | '.join(cells)} |")
    return "## What the paper says, and where it held\n\n" + "\n".join(rows) + "\n"


def _section(entry: Entry) -> str:
    name = entry.name
    files = f"[PDF]({name}/{name}.pdf) · [data]({name}/data.nc) · [manifest]({name}/manifest.json)"
    first = entry.findings[0] if entry.findings else None
    parts = [f"## {name}", f"*{entry.question}*", f"![{name}]({name}/{name}.png)"]
    parts += [f"**{first.sentence}: {first.measured}**{_verdict(first)}"] if first else []
    parts += [entry.caption, _folded(entry)] if first else [entry.caption]
    parts.append(
        f"Made by `{entry.manifest['command']}` in {_duration(entry.manifest['wall_seconds'])} on\n"
        f"{_device(entry.manifest['device'])}. {files}\n"
    )
    return "\n\n".join(parts)


def _folded(entry: Entry) -> str:
    """All findings with all their numbers, behind a line to open them."""
    lines = []
    for number, finding in enumerate(entry.findings):
        said = "" if number == 0 else f"{finding.sentence}: {finding.measured}{_verdict(finding)}. "
        numbers = "; ".join(effect.text for effect in finding.effects)
        lines.append(f"- {said}{_capital(finding.quantity)}: {numbers}.")
    count = len(entry.findings) - 1
    summary = f"{count} further finding{'s' if count != 1 else ''}, and all numbers"
    details = f"\n\n{entry.details}" if entry.details else ""
    body = "\n".join(lines)
    return f"<details><summary>{summary}</summary>\n\n{body}{details}\n\n</details>"


def _verdict(finding: Finding) -> str:
    return "" if finding.verdict is None else f" ({finding.verdict})"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def cell(text: str, *, keep_space: bool = False) -> str:
    r"""Text as the cell of a Markdown table.

    Example:
      >>> print(cell("P(A | B)\nin one line"))
      P(A \| B) in one line
    """
    space = " " if keep_space and text.startswith(" ") else ""
    return space + " ".join(text.split()).replace("|", r"\|")


def _duration(seconds: float) -> str:
    """Wall time in words.

    Example:
      >>> _duration(3.21), _duration(75.0)
      ('3.2 s', '1 min 15 s')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def _device(device: dict[str, Any]) -> str:
    if device["platform"] == "cpu":
        return f"{device['cores']} cores of {device['processor']}"
    return f"{device['count']} x {device['kind']}"
