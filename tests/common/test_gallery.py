"""The page beside the figures: what stands first, what is folded away, and cells that are short."""

import re

import pytest

from experiments.common.findings import Effect, Finding
from experiments.common.gallery import LONGEST_CELL, Entry, finding_cell, page

MANIFEST = {
    "command": "python -m experiments.reproduce --only=toy",
    "wall_seconds": 75.0,
    "device": {"platform": "cpu", "cores": 2, "processor": "a processor"},
}


def finding(name, *, paper="", where=("on needle",)):
    effects = [Effect(place, 0.5, 0.4, 0.6, "holds", signed=True) for place in where]
    return Finding("toy", name, f"{name} | is said", effects, "J_K", paper=paper, tested="bandits")


@pytest.fixture(name="shown")
def _shown():
    findings = [finding("First", paper="It helps"), finding("Second", paper="It is small")]
    entries = [
        Entry("toy", "How large is a toy?", "Toys of 3 steps.", findings, MANIFEST, "| a table |"),
        Entry("other", "Why?", "Others.", [finding("Third", paper="It helps")], MANIFEST),
        Entry("bare", "What?", "Nothing is said.", [], MANIFEST),
    ]
    return page(entries)


def test_contents_come_first_then_the_paper_then_the_figures(shown):
    contents = (
        "| [toy](#toy) | How large is a toy? | First \\| is said: +0.50 [0.40, 0.60] on needle"
    )
    places = [shown.index(part) for part in (contents, "the paper says", "## toy", "## other")]
    assert places == sorted(places)
    rows = re.findall(r"^\| (It .*) \|$", shown, re.MULTILINE)
    assert [row.split(" | ")[0] for row in rows] == ["It helps", "It helps", "It is small"]
    assert rows[0].endswith("[bandits](#toy) | +0.50 [0.40, 0.60] on needle | holds")


def test_under_a_figure_stands_its_first_finding_and_the_others_are_folded(shown):
    toy = shown.partition("\n## toy")[2].partition("\n## other")[0]
    order = [
        "*How large is a toy?*",
        "![toy](toy/toy.png)",
        "**First | is said: +0.50 [0.40, 0.60] on needle** (holds)",
        "Toys of 3 steps.",
        "<details><summary>1 further finding, and all numbers</summary>",
        "- J_K: +0.50 [0.40, 0.60] on needle.",
        "- Second | is said: +0.50 [0.40, 0.60] on needle (holds). J_K: +0.50",
        "| a table |",
        "</details>",
        "Made by `python -m experiments.reproduce --only=toy` in 1 min 15 s",
    ]
    places = [toy.index(part) for part in order]
    assert places == sorted(places)
    assert "details" not in shown.partition("\n## bare")[2]


@pytest.mark.parametrize("length", [20, 140, 155, 400])
def test_a_cell_is_short_keeps_its_verdict_and_cuts_no_number(length):
    sentence = ("word " * length)[:length].strip()
    measured = "; ".join(f"{n / 7:.3f} at {n}" for n in range(1, 40))
    for verdict in (None, "holds", "does not hold"):
        found = finding_cell(sentence, measured, verdict)
        assert len(found) <= LONGEST_CELL
        assert found.endswith(f" ({verdict})" if verdict else found[-1])
        for number in re.findall(r"[\d.]+ at \d+", found):
            assert f"{number};" in f"{measured};"
    assert "0.143 at 1" in finding_cell("a sentence", measured, "holds")
