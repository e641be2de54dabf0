"""Findings: what effects come to, the text that is printed, and the JSON that is stored."""

import json
import math

import numpy as np
import pytest

from experiments.common.findings import (
    FAILS,
    HOLDS,
    TIED,
    UNDECIDED,
    Effect,
    Finding,
    text,
    to_json,
)


def effect(where="", outcome="", estimate=0.5):
    return Effect(where, estimate, estimate - 0.1, estimate + 0.1, outcome)


def finding(*effects, **fields):
    given = {"figure": "toy", "name": "name", "sentence": "MaxPO is above EI", "quantity": "J_K"}
    return Finding(effects=effects or [effect()], **given | fields)


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        (["", ""], None),
        ([HOLDS, HOLDS], "holds"),
        ([HOLDS, "", HOLDS], "holds"),
        ([FAILS, FAILS], "does not hold"),
        ([TIED, TIED], "tied"),
        ([UNDECIDED], "undecided"),
        ([HOLDS, FAILS, HOLDS], "holds at 0, at 2; does not hold at 1"),
        ([UNDECIDED, TIED, FAILS], "does not hold at 2; tied at 1; undecided at 0"),
        ([HOLDS] * 20 + [FAILS] * 2 + [""], "holds in 20, does not hold in 2 of 22"),
    ],
)
def test_the_verdict_follows_from_every_effect(outcomes, verdict):
    effects = [effect(f"at {place}", outcome) for place, outcome in enumerate(outcomes)]
    assert finding(*effects).verdict == verdict


@pytest.mark.parametrize("outcome", [HOLDS, FAILS, TIED])
@pytest.mark.parametrize("low", [math.nan, math.inf])
def test_nothing_is_decided_by_an_interval_that_is_not_known(outcome, low):
    with pytest.raises(ValueError, match="nothing can be decided"):
        Effect("", 1.0, low, 2.0, outcome)
    assert Effect("", 1.0, low, 2.0, UNDECIDED).outcome == UNDECIDED


def test_an_unknown_outcome_and_a_finding_without_effects_are_refused():
    with pytest.raises(ValueError, match="must be one of"):
        effect(outcome="perhaps")
    with pytest.raises(ValueError, match="without an effect"):
        Finding("toy", "name", "s", [], "q")


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        ((0.0104, -0.00002, 0.0312), "0.01 [0.00, 0.03]"),
        ((1.0712, 1.0443, 1.0951), "1.07 [1.04, 1.10]"),
        ((-0.000482, -0.000564, -0.00042), "-0.00048 [-0.00056, -0.00042]"),
        ((250.0, 100.0, 900.0), "250 [100, 900]"),
        ((-1e-9, -1e-3, 1e-3), "0.0000 [-0.0010, 0.0010]"),
        ((0.0816666, 0.0816666, 0.0816666), "0.0817"),
        ((2.0, math.nan, math.nan), "2"),
        ((math.nan, math.nan, math.nan), "unknown"),
    ],
)
def test_numbers_have_the_digits_that_their_interval_knows(numbers, shown):
    assert Effect("", *numbers).numbers == shown


def test_rows_wrap_to_the_width_and_lose_no_word():
    long = finding(effect("at " + "a place of many words " * 9, HOLDS), sentence="long " * 40)
    shown = text([finding(), long], width=72)
    assert max(len(line) for line in shown.splitlines()) <= 72
    assert shown.split() == ["toy", *finding().line.split(), *long.line.split()]
    assert text([finding()], width=10) == text([finding()], width=60)
    assert text([]) == "no findings"


def test_json_holds_every_number_and_null_for_what_is_not_known():
    effects = [effect("on needle", HOLDS), Effect("", np.float32(2), math.nan, math.nan, UNDECIDED)]
    (record,) = json.loads(to_json([finding(*effects, paper="It says so", tested="bandits")]))
    assert record == {
        "figure": "toy",
        "name": "name",
        "sentence": "MaxPO is above EI",
        "measured": "0.50 [0.40, 0.60] on needle; 2",
        "verdict": "holds on needle; undecided",
        "quantity": "J_K",
        "effects": [
            {"where": "on needle", "estimate": 0.5, "low": 0.4, "high": 0.6, "outcome": "holds"},
            {"where": "", "estimate": 2.0, "low": None, "high": None, "outcome": "undecided"},
        ],
        "paper": "It says so",
        "tested": "bandits",
    }
