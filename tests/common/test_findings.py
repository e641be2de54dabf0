"""Findings: the table that is printed and the JSON that is stored."""

import json

import numpy as np
import pytest

from experiments.common.findings import Finding, table, to_json

FINDINGS = [
    Finding("toy", "positive", "the mean of the rewards is above zero", "0.50 [0.40, 0.60]", True),
    Finding("toy", "long", "a sentence of many words " * 8, "measured at length " * 8, False),
]


def test_rows_wrap_to_the_width_and_lose_no_word() -> None:
    text = table(FINDINGS, width=72)
    assert max(len(line) for line in text.splitlines()) <= 72
    words = text.split()
    for finding in FINDINGS:
        for word in set(finding.sentence.split()) | set(finding.measured.split()):
            assert words.count(word) >= finding.sentence.split().count(word)


def test_each_verdict_stands_in_the_row_of_its_finding() -> None:
    lines = table(FINDINGS, width=100).splitlines()
    rows = [line for line in lines if line.startswith("toy: ")]
    assert rows[0].endswith(" holds")
    assert rows[1].endswith(" does not hold")


def test_a_narrow_terminal_still_gets_a_table() -> None:
    assert table(FINDINGS, width=10) == table(FINDINGS, width=60)


def test_no_findings() -> None:
    assert table([]) == "no findings"


@pytest.mark.parametrize("holds", [np.bool_(True), np.array(True), True])
def test_verdict_becomes_a_plain_bool(holds: object) -> None:
    assert Finding("toy", "n", "s", "m", holds).holds is True  # type: ignore[arg-type]


def test_json_holds_every_field_in_order() -> None:
    records = json.loads(to_json(FINDINGS))
    assert [record["name"] for record in records] == ["positive", "long"]
    assert records[0] == {
        "figure": "toy",
        "name": "positive",
        "sentence": "the mean of the rewards is above zero",
        "measured": "0.50 [0.40, 0.60]",
        "holds": True,
    }
