"""Every fact of every registered estimator, by exact enumeration; a false one is caught."""

import dataclasses

import fact_checks
import pytest

from maxpo_jax import estimators


@pytest.mark.parametrize("name", estimators.names())
def test_facts_hold(name):
    fact_checks.check_facts(estimators.get(name))


@pytest.mark.parametrize(
    ("name", "false_fact", "check"),
    [
        ("center_ei", {"target": "J_K"}, fact_checks.check_unbiased),
        ("grpo", {"unbiased": True}, fact_checks.check_unbiased),
        ("zscore_maxpo", {"unbiased": True}, fact_checks.check_unbiased),
        ("maxpo", {"unbiased": False}, fact_checks.check_unbiased),
        ("maxpo", {"target": "J_1"}, fact_checks.check_unbiased),
        ("min_at_k", {"target": "J_K"}, fact_checks.check_unbiased),
        ("median_at_k", {"target": "E min of K"}, fact_checks.check_unbiased),
        ("center_u", {"scale": lambda B, K: 1.0}, fact_checks.check_unbiased),
        ("pass_at_k_training_full", {"scale": lambda B, K: 1.0}, fact_checks.check_unbiased),
        ("pass_at_k_training_analytic", {"unbiased": True}, fact_checks.check_unbiased),
        ("ei", {"centered": True}, fact_checks.check_centered),
        ("maxpo", {"centered": False}, fact_checks.check_centered),
        ("pkpo_sloo", {"shift_invariant": True}, fact_checks.check_shift_invariant),
        ("maxpo", {"shift_invariant": False}, fact_checks.check_shift_invariant),
        ("grpo", {"scale_equivariant": True}, fact_checks.check_scale_equivariant),
        ("rloo", {"scale_equivariant": False}, fact_checks.check_scale_equivariant),
        ("ei", {"k_range": estimators.get("maxpo").k_range}, fact_checks.check_k_range),
    ],
)
def test_a_false_fact_is_caught(name, false_fact, check):
    with pytest.raises(AssertionError, match=name):
        check(dataclasses.replace(estimators.get(name), **false_fact))
