"""Writes the generated sections of the pages: `python -m experiments.readme [--check]`.

A section lies between `<!-- begin: NAME -->` and `<!-- end: NAME -->`; `PAGES` says which stand on
which page, and who writes them. To add one, put the two comments into the page and a function here.
"""

import importlib
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import list_estimators
from experiments.common.configuration import PROJECT_ROOT
from experiments.common.gallery import cell, finding_cell
from experiments.engine import measurement

# Ten figures; the others stand with them on figures/README.md.
LEADING = (
    "estimation_error",
    "gradient_variance",
    "variance_floor",
    "variance_learning",
    "order_statistics",
    "bandit_learning",
    "token_pass_at_k",
    "token_support",
    "maze_learning",
    "maze_scaling",
)
LONGEST_FINDING = 130  # characters; all of them stand on figures/README.md
REPORT_CARDS = ("maxpo", "center_ei")
NOT_YET = "not computed yet"


def figure_table() -> str:
    """The figures to begin with: what each answers, and the first of its findings."""
    path = PROJECT_ROOT / "figures" / "findings.json"
    findings = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    first: dict[str, Mapping[str, Any]] = {}
    for finding in findings:
        first.setdefault(finding["figure"], finding)
    rows = ["| figure | question | finding |", "|---|---|---|"]
    for name in LEADING:
        question = importlib.import_module(f"experiments.analysis.{name}").FIGURE.question
        link = f"[{name}](figures/README.md#{name})"
        found = NOT_YET
        if name in first:
            one = first[name]
            found = finding_cell(
                one["sentence"], one["measured"], one["verdict"], longest=LONGEST_FINDING
            )
        rows.append(f"| {link} | {cell(question)} | {found} |")
    return "\n".join(rows)


def estimator_table() -> str:
    """The facts of every registered estimator."""
    return list_estimators.table(markdown=True)


def report_cards() -> str:
    """The committed report cards, as the terminal shows them."""
    blocks = []
    for name in REPORT_CARDS:
        command = f"$ python -m experiments.check_estimator --estimator={name}"
        text = (PROJECT_ROOT / "figures" / "report_cards" / f"{name}.txt").read_text("utf-8")
        blocks.append(f"```\n{command}\n{text.rstrip()}\n```")
    return "\n\n".join(blocks)


def measurement_table() -> str:
    """Every measurement: what it measures, the fields of a run, and its outputs."""
    rows = ["| measurement | fields and their defaults | outputs |", "|---|---|---|"]
    for name in measurement.names():
        one = measurement.load(name)
        fields = ", ".join(f"`{field}={value}`" for field, value in one.fields.items())
        outputs = ", ".join(
            f"`{output}`" + (f" [{', '.join(about.dims)}]" if about.dims else "")
            for output, about in one.outputs.items()
        )
        rows.append(f"| `{name}` | {fields} | {outputs} |")
    return "\n".join(rows)


PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "README.md": {"figures": figure_table},
    "maxpo_jax/estimators/README.md": {"estimators": estimator_table},
    "maxpo_jax/report_card/README.md": {"report_cards": report_cards},
    "maxpo_jax/tokens/README.md": {},
    "experiments/README.md": {"measurements": measurement_table},
}


def begin(name: str) -> str:
    """The comment before a generated section."""
    return f"<!-- begin: {name} -->"


def end(name: str) -> str:
    """The comment behind a generated section."""
    return f"<!-- end: {name} -->"


def generated(page: str, text: str) -> str:
    """The text of a page with every generated section as it should be.

    Raises:
      ValueError: a section that is named in the text is not among those of the page in `PAGES`, or
        the other way round.
    """
    sections = PAGES[page]
    named = re.findall(r"<!-- begin: (\w+) -->", text)
    if sorted(named) != sorted(sections):
        raise ValueError(f"{page} has sections {sorted(named)}, not {sorted(sections)}")
    for name, write in sections.items():
        before, _, rest = text.partition(begin(name))
        after = rest.partition(end(name))[2]
        text = f"{before}{begin(name)}\n{write()}\n{end(name)}{after}"
    return text


def stale_sections(page: str, text: str) -> list[str]:
    """Names of the generated sections that are not up to date in the text of a page."""
    new = generated(page, text)
    return [name for name in PAGES[page] if _section(text, name) != _section(new, name)]


def _section(text: str, name: str) -> str:
    return text.partition(begin(name))[2].partition(end(name))[0]


def main(arguments: Sequence[str], root: Path = PROJECT_ROOT) -> int:
    """Write the sections, or with `--check` name the stale ones; returns the exit status."""
    status = 0
    for page in PAGES:
        text = (root / page).read_text(encoding="utf-8")
        if "--check" not in arguments:
            (root / page).write_text(generated(page, text), encoding="utf-8")
        elif stale := stale_sections(page, text):
            print(f"{page} is stale in: {', '.join(stale)}; run: make readme", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
