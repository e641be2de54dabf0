"""The nearest relative of a function among the registered estimators."""

import numpy as np
import planted_defects
import pytest

from maxpo_jax.report_card.relatives import check, relations
from maxpo_jax.report_card.subject import from_function


def closest(function, group_size=5, k=2, holding=("centered", "permutation_equivariant")):
    subject = from_function(function, group_size, k)
    found = relations(subject, group_size, k, holding=holding)
    (verdict,) = check(subject, group_size, k, holding=holding)
    return {relation.name: relation for relation in found}, verdict.sentence


def test_finds_equals_and_multiples():
    found, sentence = closest(planted_defects.right)
    assert found["maxpo"].kind == found["canonical"].kind == "equal"
    assert sentence.startswith("equals maxpo (and canonical")
    found, sentence = closest(planted_defects.wrong_scale)
    assert found["maxpo"] == ("multiple", "maxpo", pytest.approx(0.4))
    assert sentence == "is 0.4 maxpo"


def test_finds_a_rescaling_of_each_batch():
    found, _ = closest(planted_defects.std_normalized)
    assert found["maxpo"].kind == "rescaled"


def test_finds_one_plus_a_function_of_the_other_rewards():
    def with_worst_other(rewards, k):
        others = [np.delete(rewards, i).min() for i in range(len(rewards))]
        return 0.5 * planted_defects.right(rewards, k) + np.array(others)

    found, sentence = closest(with_worst_other)
    assert found["maxpo"] == ("baseline", "maxpo", pytest.approx(0.5))
    assert sentence == "is 0.5 maxpo plus a function of the other rewards"


def test_own_reward_in_the_rest_is_no_baseline():
    def with_worst(rewards, k):
        return planted_defects.right(rewards, k) + np.min(rewards)

    found, sentence = closest(with_worst)
    assert "maxpo" not in found
    assert sentence == "like no registered estimator"
