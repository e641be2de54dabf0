"""The ladder of group sizes: float32 errors are seen, and slow functions are let off in time."""

import time

import numpy as np
import planted_defects

from maxpo_jax.report_card import precision
from maxpo_jax.report_card.subject import from_function


def test_an_exponential_brute_force_ends_the_ladder():
    subject = from_function(planted_defects.brute_force, 4, 2)
    start = time.perf_counter()
    steps = list(precision.ladder(subject, 4, 2, timed=False))
    assert time.perf_counter() - start < 20.0
    assert max(step.group_size for step in steps) in (8, 16)


def test_rounding_is_measured_in_units_of_the_largest_advantage():
    def off_by_a_thousandth_of_it(rewards, k):
        advantages = planted_defects.right(rewards, k)
        excess = 2e-3 * np.abs(advantages).max() * (rewards.dtype == np.float32)
        return advantages + excess * np.eye(len(rewards))[0]

    subject = from_function(off_by_a_thousandth_of_it, 4, 2)
    (verdict,) = precision.check(subject, 4, 2, timed=False)
    assert verdict.holds is False
    assert 1.9e-3 < verdict.number < 2.1e-3


def test_speed_is_a_fact_with_a_growth():
    subject = from_function(planted_defects.right, 4, 2)
    _, speed = precision.check(subject, 4, 2)
    assert speed.holds is None
    assert "x MaxPO" in speed.sentence
    assert "grows as B^" in speed.sentence
