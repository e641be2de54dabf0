"""Writes the generated sections of README.md: `python -m experiments.readme [--check]`.

A section lies between `<!-- begin: NAME -->` and `<!-- end: NAME -->`; `SECTIONS` says what stands
in it. To add one, put the two comments into README.md and a function into `SECTIONS`.
"""

import ast
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments import list_estimators
from experiments.common.configuration import PROJECT_ROOT
from experiments.common.gallery import cell
from experiments.reproduce import FIGURES

README = PROJECT_ROOT / "README.md"
WITHOUT_FILES = {
    "tests": "one file per module, and oracles that share no code with it",
    "figures": "PNG, PDF, data and manifest of every figure",
}
REPORT_CARDS = ("maxpo", "center_ei")
TREE_FOLDERS = ("maxpo_jax", "experiments", "configs", "tests", "figures")


def estimator_table() -> str:
    """The facts of every registered estimator, as a Markdown table."""
    return list_estimators.table(markdown=True)


def findings_table() -> str:
    """The findings of all committed figures, with what was measured and the verdict."""
    path = PROJECT_ROOT / "figures" / "findings.json"
    if not path.exists():
        return "`make figures` has not been run yet."
    rows = ["| figure | finding | measured | verdict |", "|---|---|---|---|"]
    for one in json.loads(path.read_text()):
        verdict = "holds" if one["holds"] else "**does not hold**"
        figure = f"[{one['figure']}](figures/README.md#{one['figure']})"
        sentence, measured = cell(one["sentence"]), cell(one["measured"])
        rows.append(f"| {figure} | {sentence} | {measured} | {verdict} |")
    return "\n".join(rows)


def gallery() -> str:
    """Every committed figure in the order of `reproduce`, each leading to its caption."""
    shown = [name for name in FIGURES if (PROJECT_ROOT / "figures" / name / f"{name}.png").exists()]
    if not shown:
        return "`make figures` draws them."
    head = "Captions, findings and commands are in [figures/README.md](figures/README.md)."
    images = [f"[![{name}](figures/{name}/{name}.png)](figures/README.md#{name})" for name in shown]
    return "\n\n".join([head, *images])


def tree() -> str:
    """The files of the repository, one line each, with the first line of their docstring."""
    lines = ["```"]
    for folder in TREE_FOLDERS:
        lines.append(f"{folder}/")
        if folder in WITHOUT_FILES:
            lines[-1] = f"{lines[-1]:<38}{WITHOUT_FILES[folder]}"
            continue
        files = sorted((PROJECT_ROOT / folder).rglob("*.py"), key=_tree_order)
        lines += [_tree_line(file, folder) for file in files if file.stem != "__init__"]
    return "\n".join([*lines, "```"])


def _tree_order(file: Path) -> tuple[str, ...]:
    return file.parent.as_posix(), file.name


def _tree_line(file: Path, folder: str) -> str:
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    name = file.relative_to(PROJECT_ROOT / folder).as_posix()
    return f"  {name:<36}{docstring.splitlines()[0] if docstring else ''}".rstrip()


def report_cards() -> str:
    """The committed report cards, as the terminal shows them."""
    blocks = []
    for name in REPORT_CARDS:
        command = f"$ python -m experiments.check_estimator --estimator={name}"
        text = (PROJECT_ROOT / "figures" / "report_cards" / f"{name}.txt").read_text("utf-8")
        blocks.append(f"```\n{command}\n{text.rstrip()}\n```")
    return "\n\n".join(blocks)


def benchmark() -> str:
    """The committed benchmark: its figure, its targets with their verdicts, and its tables."""
    folder = PROJECT_ROOT / "figures" / "benchmark_estimators"
    if not (folder / "table.md").exists():
        return "`make benchmark` writes it."
    claims = json.loads((folder / "results.json").read_text(encoding="utf-8"))["findings"]
    rows = ["| target | measured | verdict |", "|---|---|---|"]
    for claim in claims:
        verdict = "met" if claim["holds"] else "**not met**"
        rows.append(f"| {cell(claim['sentence'])} | {cell(claim['measured'])} | {verdict} |")
    image = "![benchmark](figures/benchmark_estimators/benchmark_estimators.png)"
    tables = (folder / "table.md").read_text(encoding="utf-8").rstrip()
    return "\n\n".join([image, "\n".join(rows), tables])


SECTIONS: dict[str, Callable[[], str]] = {
    "benchmark": benchmark,
    "findings": findings_table,
    "estimators": estimator_table,
    "gallery": gallery,
    "report_cards": report_cards,
    "tree": tree,
}


def begin(name: str) -> str:
    """The comment before a generated section."""
    return f"<!-- begin: {name} -->"


def end(name: str) -> str:
    """The comment behind a generated section."""
    return f"<!-- end: {name} -->"


def generated(text: str) -> str:
    """The text of README.md with every generated section as it should be.

    Raises:
      ValueError: a section that is named in the text is not in `SECTIONS`, or the other way round.
    """
    named = re.findall(r"<!-- begin: (\w+) -->", text)
    if sorted(named) != sorted(SECTIONS):
        raise ValueError(f"README.md has sections {sorted(named)}, not {sorted(SECTIONS)}")
    for name, write in SECTIONS.items():
        before, _, rest = text.partition(begin(name))
        after = rest.partition(end(name))[2]
        text = f"{before}{begin(name)}\n{write()}\n{end(name)}{after}"
    return text


def stale_sections(text: str) -> list[str]:
    """Names of the generated sections that are not up to date in the text of README.md."""
    return [name for name in SECTIONS if _section(text, name) != _section(generated(text), name)]


def _section(text: str, name: str) -> str:
    return text.partition(begin(name))[2].partition(end(name))[0]


def main(arguments: Sequence[str]) -> int:
    """Write the sections, or with `--check` name the stale ones; returns the exit status."""
    text = README.read_text(encoding="utf-8")
    if "--check" in arguments:
        stale = stale_sections(text)
        if stale:
            print(f"README.md is stale in: {', '.join(stale)}; run: make readme", file=sys.stderr)
        return int(bool(stale))
    README.write_text(generated(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
