"""An estimator is unbiased exactly if A_i - EI_i does not depend on R_i: against rationals."""

import functools

import jax.numpy as jnp
import numpy as np
import oracles
import planted_defects
import pytest

from maxpo_jax import estimators
from maxpo_jax.report_card import characterization, expectation, probes
from maxpo_jax.report_card.bandits import SmallBandit
from maxpo_jax.report_card.subject import from_function


def target(function, group_size, k, *, few=False):
    subject = from_function(function, group_size, k)
    lines = characterization.lines(subject, group_size, k, draws=60, few=few)
    return lines, expectation.target(lines, k)


@pytest.mark.parametrize(("group_size", "k"), [(2, 2), (4, 1), (5, 2), (6, 6)])
def test_expected_improvement_is_that_of_exact_rationals(group_size, k):
    rng = np.random.default_rng(0)
    groups = np.stack([rng.normal(size=group_size), rng.integers(0, 3, group_size) / 2.0])
    for group in groups:
        exact = group if k == 1 else np.array(oracles.expected_improvement(group, k), float)
        got = characterization.expected_improvement(
            np.tile(group, (group_size, 1)), np.arange(group_size), k
        )
        np.testing.assert_allclose(got, exact, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", ["maxpo", "ei", "pkpo_s", "pkpo_sloo", "canonical"])
def test_every_choice_of_a_baseline_is_in_the_class(name):
    _, found = target(estimators.get(name), 5, 3)
    assert found.unbiased
    assert found.residual < 1e-9


def test_the_third_level_is_no_limit():
    for function in (
        planted_defects.rloo_from_four_levels,
        planted_defects.lifts_below_the_third_largest,
    ):
        lines, found = target(function, 5, 2)
        assert not found.exact
        assert found.residual > 0.01
        example = characterization.counterexample(lines, 1.0)
        assert example is not None
        # The change that the counterexample names can be checked on its two groups.
        after = example.rewards.copy()
        sample = int(example.setting.split()[3])
        after[sample] = float(example.setting.split()[6].rstrip(":"))
        for advantages, change in (
            (functools.partial(function, k=2), example.got),
            (functools.partial(oracles.expected_improvement, k=2), example.expected),
        ):
            before_and_after = [
                float(advantages(group)[sample]) for group in (example.rewards, after)
            ]
            assert np.diff(before_and_after)[0] == pytest.approx(float(change), rel=1e-4)


def test_the_bias_that_the_panel_does_not_see_is_real():
    subject = from_function(planted_defects.vanishes_on_nine_policies, 16, 2)
    found = expectation.expectation(subject, 16, 2)
    assert not found.target.exact
    on_panel, on_own = found.moments.means[:-1], found.moments.means[-1]
    own = found.moments.bandits[-1]
    for bandit, mean in zip(found.moments.bandits, on_panel, strict=False):
        exact = np.array(oracles.max_at_k_gradient(bandit.rewards, bandit.probs, 2), float)
        np.testing.assert_allclose(mean, exact, atol=1e-6)
    exact = np.array(oracles.max_at_k_gradient(own.rewards, own.probs, 2), float)
    assert np.linalg.norm(on_own - exact) > 0.1 * np.linalg.norm(exact)


def test_what_depends_on_the_order_is_averaged_over_it():
    def next_as_baseline(rewards, k):
        return rewards - np.roll(rewards, 1)

    def middle_alone(rewards, k):
        return np.where(np.arange(len(rewards)) == len(rewards) // 2, rewards, 0.0)

    def middle_from_four_levels(rewards, k):
        few = len(np.unique(rewards)) < 4
        return rewards if few else middle_alone(rewards, k) * len(rewards)

    def lifted_in_order(rewards, k):
        return planted_defects.lifts_below_the_third_largest(rewards, k) - np.roll(rewards, 1)

    for group_size in (3, 5, 9):
        assert target(next_as_baseline, group_size, 1)[1].unbiased
        _, found = target(middle_alone, group_size, 1)
        assert found.exact
        assert found.scale == pytest.approx(1 / group_size)
    assert target(middle_from_four_levels, 5, 1)[1].unbiased
    assert not target(lifted_in_order, 5, 2)[1].exact


def test_mixtures_and_other_targets_of_the_lines():
    lines, _ = target(planted_defects.mean_centered_ei, 6, 3)
    assert characterization.mixture(lines) == pytest.approx({2: 0.5, 3: 0.5}, abs=1e-9)
    lines, found = target(planted_defects.off_by_one_in_k, 6, 3)
    assert not found.exact
    assert expectation.target(lines, 4).exact


def test_a_negative_multiple_is_exact_and_not_positive():
    _, found = target(planted_defects.wrong_way, 5, 2)
    assert found.exact
    assert found.scale == pytest.approx(-1.0)
    assert not found.positive


def test_single_precision_is_judged_as_such_and_no_better():
    assert target(planted_defects.float32_in_python_floats, 5, 2)[1].unbiased

    def nearly(rewards, k):
        return planted_defects.float32_in_python_floats(np.asarray(rewards) * (1 - 1e-4), k)

    assert not target(nearly, 5, 2)[1].unbiased


def test_lines_change_one_reward_and_reach_every_kind():
    rewards, sample = probes.lines(6, "real")
    for line, i in zip(rewards, sample, strict=True):
        others = np.delete(line, i, axis=1)
        assert (others == others[0]).all()
        assert len(np.unique(line[:, i])) > 2
    levels = [len(np.unique(row)) for line in rewards for row in line]
    assert {2, 3, 4, 5, 6} <= set(levels)
    size = np.abs(rewards).max(axis=(1, 2))
    assert size.min() < 1e-5
    assert size.max() > 1e6
    spread = np.ptp(rewards, axis=(1, 2)) / size
    assert spread.min() < 1e-5  # offset
    counts = probes.lines(6, "binary")[0][:, 1].sum(axis=1)
    assert set(counts) == {1, 2, 3, 4, 5, 6}


def test_groups_are_tied_in_every_way():
    groups = probes.tied_groups(7, np.random.default_rng(0))
    patterns = {tuple(sorted(np.unique(row, return_counts=True)[1])) for row in groups}
    assert len(patterns) == 15  # partitions of seven
    assert {row.shape for row in probes.tied_groups(40, np.random.default_rng(0))} == {(40,)}


def test_the_bandit_it_adds_can_be_enumerated():
    found = expectation.expectation(
        from_function(planted_defects.lifts_below_the_third_largest, 5, 2), 5, 2
    )
    own = found.moments.bandits[-1]
    assert isinstance(own, SmallBandit)
    assert len(found.moments.bandits) == 10
    exact = np.array(oracles.max_at_k_gradient(own.rewards, own.probs, 2), float)
    assert np.linalg.norm(found.moments.means[-1] - exact) > 1e-3 * np.linalg.norm(exact)


def test_the_sampling_error_of_a_multiple_is_its_own():
    def a_tenth_too_much(rewards, k, key):
        return 1.1 * planted_defects.improvement_over_a_random_other(rewards, k, key)

    _, found = target(planted_defects.improvement_over_a_random_other, 5, 2)
    assert found.unbiased
    _, found = target(a_tenth_too_much, 5, 2)
    assert found.exact
    assert not found.unbiased
    assert 1e-3 < found.scale_error < 0.1
    assert abs(found.scale - 1.1) < found.scale_error


def test_a_key_hides_no_bias_from_four_levels_on():
    def liar(rewards, k, key):
        ascending = jnp.sort(rewards)
        many = (jnp.diff(ascending) > 0).sum() > 2
        honest = planted_defects.improvement_over_a_random_other(rewards, k, key)
        return jnp.where(many, rewards - rewards.mean(), honest)

    assert not target(liar, 5, 2)[1].exact
