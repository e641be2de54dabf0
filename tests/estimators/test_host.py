"""One rule, two executions: every estimator in NumPy against JAX, and without any of JAX."""

import inspect
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxpo_jax import estimators
from maxpo_jax.estimators.host import advantages_on_host, numpy_form

DETERMINISTIC = [n for n in estimators.names() if not estimators.get(n).randomized]
SHIFT_INVARIANT = [
    name
    for name in DETERMINISTIC
    if estimators.get(name).shift_invariant and estimators.get(name).reward_type == "real"
]
# A later estimator that needs JAX is one of few; then its name goes here.
NEEDS_JAX: set[str] = set()


def example(estimator, shape, seed=0):
    rng = np.random.default_rng(seed)
    if estimator.reward_type == "binary":
        return (rng.random(shape) < 0.3).astype(np.float64)
    return np.round(rng.normal(size=shape), 1)  # with ties


def ks_of(estimator, group_size):
    tried = {1, 2, group_size // 2, group_size - 1, group_size}
    return sorted(k for k in tried if estimator.k_range.contains(k, group_size))


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_equals_jax_in_float64(name):
    estimator = estimators.get(name)
    assert (numpy_form(estimator) is None) == (name in NEEDS_JAX)
    for group_size in (2, 5, 64, 100):
        for k in ks_of(estimator, group_size):
            rewards = example(estimator, (3, group_size))
            with jax.enable_x64(True):
                expected = np.asarray(estimator(rewards, k))
            got = advantages_on_host(estimator, rewards, k)
            assert got.dtype == np.float64
            np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_equals_jax_in_float32_up_to_groups_of_4096(name):
    estimator = estimators.get(name)
    for k in ks_of(estimator, 4096)[:3]:
        rewards = example(estimator, (2, 4096)).astype(np.float32)
        got = advantages_on_host(estimator, rewards, k)
        expected = np.asarray(estimator(rewards, k))
        assert got.dtype == np.float32
        scale = max(np.abs(expected).max(), np.abs(rewards).max(), 1.0)
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6 * scale)


@pytest.mark.parametrize("name", SHIFT_INVARIANT)
def test_an_offset_costs_no_digits(name):
    estimator = estimators.get(name)
    rewards = np.random.default_rng(1).integers(0, 2**20, size=(3, 9)) * 2.0**-30  # exact sums
    for k in ks_of(estimator, 9):
        got = advantages_on_host(estimator, rewards + 1e6, k)
        expected = advantages_on_host(estimator, rewards, k)
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.float32, np.float64])
def test_computes_in_double_and_answers_in_kind(dtype):
    rewards = np.array([[0.0, 3.0, 9.0]], dtype)
    got = advantages_on_host(estimators.get("maxpo"), rewards, 2)
    assert got.dtype == dtype
    assert got.tolist() == [[-3.0, -3.0, 6.0]]


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64])
def test_integers_become_float32(dtype):
    got = advantages_on_host(estimators.get("dr_grpo"), np.array([[0, 1]], dtype), 1)
    assert (got.dtype, got.tolist()) == (np.float32, [[-0.5, 0.5]])


@pytest.mark.parametrize(
    ("name", "rewards", "k", "message"),
    [
        ("maxpo", [[0.0, 1.0]], 2, r"maxpo: k = 2 does not fit group_size = 2.*'ei'"),
        ("rloo", [[0.0]], 1, r"rloo: k = 1 does not fit group_size = 1"),
        ("maxpo", [[0.0, np.nan]], 1, r"maxpo: rewards must be finite, got nan at index \[0, 1\]"),
        ("maxrl", [[0.0, 0.5]], 1, r"maxrl: rewards must be 0 or 1, got 0.5"),
    ],
)
def test_mistakes_are_those_of_the_contract(name, rewards, k, message):
    with pytest.raises(ValueError, match=message):
        advantages_on_host(estimators.get(name), np.array(rewards), k)


def sort_in_place(rewards, k):
    rewards.sort()
    return rewards


@pytest.mark.parametrize(
    ("function", "in_numpy"),
    [
        (lambda rewards, k: rewards - rewards.mean(axis=-1, keepdims=True), True),
        (lambda rewards, k: np.where(rewards == max(rewards), rewards, 0.0), True),
        (lambda rewards, k: [reward - sum(rewards) / len(rewards) for reward in rewards], True),
        (lambda rewards, k: rewards / (k - 1), True),  # not at the first K of all
        (sort_in_place, True),  # into a copy
        (lambda rewards, k: jnp.sort(rewards), False),
    ],
)
def test_a_function_of_ones_own(function, in_numpy):
    estimator = estimators.wrap(function, name="mine")
    assert (numpy_form(estimator) is not None) == in_numpy
    rewards = np.array([[3.0, 0.0, 1.0], [2.0, 2.0, 5.0]])
    got = advantages_on_host(estimator, rewards, 2)
    np.testing.assert_allclose(got, estimator(rewards, 2), rtol=1e-6)
    assert rewards.tolist() == [[3.0, 0.0, 1.0], [2.0, 2.0, 5.0]]


def test_a_registered_formula_that_writes_into_its_rewards_is_left_to_jax():
    @estimators.register(
        "ranked", citation="", equation="", unbiased=False, centered=False, target="nothing"
    )
    def ranked(rewards, k, *, where=None):
        if isinstance(rewards, np.ndarray):
            rewards.sort()
        return rewards

    try:
        assert inspect.unwrap(ranked) is not ranked
        assert numpy_form(estimators.get("ranked")) is None
    finally:
        estimators.unregister("ranked")


USE_ALL = """
import jax._src.xla_bridge as bridge, numpy as np
from maxpo_jax import estimators
from maxpo_jax.estimators.host import advantages_on_host, numpy_form

def backends():
    return bridge.backends_are_initialized()

count = 0
for estimator in map(estimators.get, estimators.names()):
    if not estimator.randomized and numpy_form(estimator) is not None:
        for k in range(1, 6):
            if estimator.k_range.contains(k, 5):
                advantages_on_host(estimator, np.eye(5), k)
                count += 1
print(count, backends(), estimators.maxpo([0.0, 1.0, 2.0], 1).tolist(), backends())
"""


def test_no_device_is_opened():
    """Any operation of JAX at all opens one."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", USE_ALL], cwd=root, capture_output=True, text=True, check=True
    )
    count, before, *_, after = done.stdout.split()
    assert int(count) > 50
    assert (before, after) == ("False", "True")
