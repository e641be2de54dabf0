"""The page beside the figures: each with its caption, its findings, and its command."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from experiments.common.findings import Finding

HEADER = """# Figures

Written by `python -m experiments.reproduce`. Each figure is drawn from the `data.nc` beside it;
its `manifest.json` says where the data come from.
"""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One stored result, as the gallery shows it."""

    name: str
    caption: str
    findings: Sequence[Finding]
    manifest: dict[str, Any]


def page(entries: Sequence[Entry]) -> str:
    """The gallery as Markdown, with links relative to the folder of results."""
    return "\n".join([HEADER, *map(_section, entries)])


def _section(entry: Entry) -> str:
    name = entry.name
    files = f"[PDF]({name}/{name}.pdf) · [data]({name}/data.nc) · [manifest]({name}/manifest.json)"
    return f"""## {name}

![{name}]({name}/{name}.png)

{entry.caption}

{_findings_table(entry.findings)}

Made by `{entry.manifest["command"]}` in {_duration(entry.manifest["wall_seconds"])} on
{_device(entry.manifest["device"])}. {files}
"""


def _findings_table(findings: Sequence[Finding]) -> str:
    rows = [f"| {cell(one.sentence)} | {cell(one.measured)} | {one.verdict} |" for one in findings]
    return "\n".join(["| finding | measured | verdict |", "|---|---|---|", *rows])


def cell(text: str) -> str:
    r"""Text as the cell of a Markdown table.

    Example:
      >>> print(cell("P(A | B)\nin one line"))
      P(A \| B) in one line
    """
    return " ".join(text.split()).replace("|", r"\|")


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
