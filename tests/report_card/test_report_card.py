"""The report card convicts broken estimators of their own defect alone, and acquits the correct."""

import json

import jax.numpy as jnp
import numpy as np
import planted_defects
import pytest

from maxpo_jax import estimators, exact
from maxpo_jax.report_card import CLAIMS, FACTS, CannotCallError, expectation, report_card
from maxpo_jax.report_card.bandits import PANEL
from maxpo_jax.report_card.subject import registered
from maxpo_jax.report_card.variance import check, reference

GROUP_SIZE, K = 5, 2


@pytest.mark.parametrize("defect", planted_defects.DEFECTS, ids=lambda defect: defect.name)
def test_convicts_a_defect_of_itself_and_of_nothing_else(defect):
    card = report_card(defect.function, defect.group_size, K, facts=False)
    assert set(card.failing) == set(defect.failing)
    assert defect.sentence in card.verdicts[defect.failing[0]].sentence
    assert bool(defect.implied) == (len(defect.failing) > 1)  # what goes with it is explained


@pytest.mark.parametrize("defect", planted_defects.DEFECTS, ids=lambda defect: defect.name)
def test_there_are_defects_of_every_kind(defect):
    assert set(defect.failing) <= set(CLAIMS)


def test_no_claim_is_without_a_defect_that_breaks_it():
    convicted = {name for defect in planted_defects.DEFECTS for name in defect.failing}
    # Under jit alone nothing can go wrong that does not go wrong under vmap and jit.
    assert convicted == set(CLAIMS) - {"jit"}
    assert len(planted_defects.DEFECTS) >= 35


@pytest.mark.parametrize(
    "function", planted_defects.CORRECT, ids=lambda function: function.__name__
)
def test_acquits_correct_implementations_from_outside(function):
    card = report_card(function, GROUP_SIZE, K, facts=False)
    assert card.failing == ()
    assert card.verdicts["unbiased"].holds is True
    assert card.verdicts["centered"].holds is True


@pytest.mark.parametrize(
    "function", planted_defects.UNCENTERED, ids=lambda function: function.__name__
)
def test_acquits_a_baseline_of_ones_own(function):
    card = report_card(function, GROUP_SIZE, K, facts=False)
    assert card.failing == ("centered",)
    assert card.verdicts["unbiased"].holds is True


@pytest.mark.parametrize(
    ("function", "name", "group_size"),
    [
        (planted_defects.wrong_scale, "unbiased", 3),
        (planted_defects.ties_lost_in_sorting, "equal_on_ties", 3),
        (planted_defects.no_baseline, "centered", 3),
        (planted_defects.off_by_one_in_k, "unbiased", 4),  # k + 1 = 3 needs four samples
    ],
)
def test_counterexamples_are_as_small_as_can_be(function, name, group_size):
    example = report_card(function, GROUP_SIZE, K, facts=False).verdicts[name].counterexample
    size = group_size if f"group size {group_size}" in example.setting else len(example.rewards)
    assert size == group_size
    assert set(np.ravel(example.rewards)) <= {0.0, 1.0}
    assert example.k == K


def test_the_counterexample_of_a_wrong_scale_can_be_checked_by_hand():
    card = report_card(planted_defects.wrong_scale, GROUP_SIZE, K, facts=False)
    example = card.verdicts["unbiased"].counterexample
    # pass@2 = 1 - (1 - p)^2 with p = 1/2: its gradient in a logit is 2 (1 - p) p (1 - p) = 1/4,
    # and K/B = 2/3 of it is left in a group of three.
    assert example.rewards == (0.0, 1.0)
    np.testing.assert_allclose(example.expected, [-0.25, 0.25], rtol=1e-12)
    np.testing.assert_allclose(example.got, [-1 / 6, 1 / 6], rtol=1e-12)


def test_a_registered_estimator_has_every_line_and_survives_json():
    card = report_card(estimators.get("maxpo"), 4, 2)
    assert card.failing == ()
    assert tuple(card.verdicts) == (*CLAIMS, *FACTS)
    assert "the same as maxpo" in card.verdicts["variance"].sentence
    assert "canonical" in card.verdicts["relative"].sentence
    stored = json.loads(json.dumps(card.as_json(), allow_nan=False))
    assert stored["verdicts"]["unbiased"]["holds"] is True
    assert len(stored["verdicts"]["variance"]["details"]["bandits"]) == len(PANEL)


def test_text_names_every_property_and_shows_counterexamples():
    card = report_card(planted_defects.no_baseline, GROUP_SIZE, K, facts=False)
    text = card.text()
    assert all(name in text for name in card.verdicts)
    assert "e.g. rewards (0, 0, 1), k = 2" in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_claim_that_cannot_be_judged_does_not_hold():
    card = report_card(planted_defects.right, GROUP_SIZE, K, facts=False)
    assert card.verdicts["jit"].holds is None
    assert [verdict.name for verdict in card.broken(["unbiased", "jit"])] == ["jit"]


def test_binary_estimators_are_judged_on_binary_rewards():
    def only_binary(rewards, k):
        if not set(np.unique(rewards)) <= {0.0, 1.0}:
            raise ValueError("0/1 rewards only")
        return planted_defects.right(rewards, k)

    card = report_card(only_binary, 4, 2, facts=False)
    assert card.reward_type == "binary"
    assert card.failing == ()
    assert card.verdicts["shift_invariant"].holds is None


def test_variance_of_a_scaled_estimator_is_that_of_its_unbiased_self():
    card = report_card(planted_defects.wrong_scale, 4, 2)
    for row, expected in zip(
        card.verdicts["variance"].details["bandits"], reference("maxpo", "real", 4, 2), strict=True
    ):
        assert row["own"] == pytest.approx(expected, rel=1e-9)
    assert "x the floor" in card.verdicts["variance"].sentence


def test_variance_of_what_is_unbiased_is_told_in_units_of_the_floor():
    def variance(name):
        subject = registered(name)
        found = expectation.expectation(subject, GROUP_SIZE, K)
        (verdict,) = check(found, subject.reward_type, GROUP_SIZE, K)
        return verdict

    verdict = variance("ei")
    ratios = []
    for row, bandit in zip(verdict.details["bandits"], PANEL, strict=True):
        arguments = bandit.logits, np.array(bandit.rewards), GROUP_SIZE, K
        assert row["floor"] == exact.variance_floor(*arguments)
        if len(bandit.probs) > 2:
            ratios.append(exact.variance("ei", *arguments) / row["floor"])
    text = f"{min(ratios):.3g} to {max(ratios):.3g} x the floor, which is 0 with two actions"
    assert text in verdict.sentence
    assert min(ratios) > 1
    assert "floor" not in variance("center_ei").sentence


@pytest.mark.parametrize("sizes", [(1, 1), (4, 0), (4, 5), (1000, 2)])
def test_refuses_sizes_that_no_card_is_for(sizes):
    with pytest.raises(ValueError, match="2 <= group_size <= 128 and 1 <= k <= group_size"):
        report_card(planted_defects.right, *sizes)


def test_says_what_an_unusable_function_did():
    with pytest.raises(CannotCallError, match=r"returned float64 of shape \[\]"):
        report_card(lambda rewards, k: jnp.sum(rewards), 4, 2)
    with pytest.raises(CannotCallError) as caught:
        report_card(lambda rewards, k: rewards / {}["missing"], 4, 2)
    assert isinstance(caught.value.__cause__, KeyError)
