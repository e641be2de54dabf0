"""Estimators by name or by place: labels, one object for one source, edits that are seen."""

import numpy as np
import pytest

from experiments.common.errors import UserError
from experiments.common.estimator_spec import resolve
from maxpo_jax import estimators

SOURCE = """
def half_baseline(rewards, k):
    return rewards - FACTOR * rewards.mean()

def static(rewards, k):
    return sum(rewards for _ in range(k))

def broken(rewards, k):
    raise RuntimeError("not yet")
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(SOURCE.replace("FACTOR", "0.5"))
    return path


def test_registered_names():
    assert resolve("maxpo") is estimators.get("maxpo") is resolve("maxpo", k=3)


def test_a_function_of_a_file_is_one_object_until_its_source_changes(file):
    spec = f"{file}:half_baseline"
    first = resolve(spec)
    assert first.name == "half_baseline"
    assert resolve(spec) is first is resolve(spec, k=2)
    rewards = np.array([0.0, 2.0], np.float32)
    np.testing.assert_allclose(first(rewards, 1), [-0.5, 1.5])
    file.write_text(SOURCE.replace("FACTOR", "1.0"))
    np.testing.assert_allclose(resolve(spec)(rewards, 1), [-1.0, 1.0])


def test_a_k_that_must_be_static_is_bound(file):
    spec = f"{file}:static"
    assert not resolve(spec).traced_k
    bound = resolve(spec, k=3)
    assert bound.traced_k
    assert resolve(spec, k=3) is bound is not resolve(spec, k=2)
    np.testing.assert_allclose(bound(np.ones(4, np.float32), 1), 3.0)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("maxp0", "did you mean 'maxpo'"),
        ("mine.py:half_baselin", "did you mean half_baseline"),
        ("mine.py:broken", "fails on an ordinary group: RuntimeError: not yet"),
        ("nowhere.py:f", "there is no Python file"),
    ],
)
def test_mistakes_are_told_in_one_line(file, spec, message):
    with pytest.raises(UserError, match=message):
        resolve(spec.replace("mine.py", str(file)))
