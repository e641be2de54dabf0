"""The adapter: whatever a function is written in, its value is one call for each group."""

import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxpo_jax import estimators
from maxpo_jax.estimators.wrapping import CannotCallError, bind, first_call_error, wrap

B, K = 6, 3
REWARDS = np.random.default_rng(1).normal(size=(2, 5, B)).astype(np.float32)


def half_baseline(rewards, k):
    return k * rewards - rewards.mean(axis=-1, keepdims=True) / 2


def half_baseline_of_jax(rewards, k):
    return k * rewards - jnp.mean(rewards) / 2


def half_baseline_of_a_batch(rewards, k):
    return k * rewards - rewards.mean(axis=1)[:, None] / 2


def half_baseline_in_numpy(rewards, k):
    if np.any(np.isnan(np.asarray(rewards))):
        raise ValueError
    return k * rewards - np.mean(rewards) / 2


def half_baseline_in_numpy_of_a_batch(rewards, k):
    return k * rewards - np.mean(np.asarray(rewards), axis=1, keepdims=True) / 2


def half_baseline_in_plain_python(rewards, k):
    if not rewards:
        raise ValueError
    mean = math.fsum(rewards) / len(rewards)
    return [k * reward - mean / 2 for reward in rewards]


def half_baseline_that_writes_into_its_rewards(rewards, k):
    mean = float(rewards.mean())
    rewards *= k
    rewards -= mean / 2
    return rewards


def half_baseline_of_a_static_k(rewards, k):
    return sum(rewards for _ in range(k)) - jnp.mean(rewards) / 2


def half_baseline_with_where(rewards, k, *, where=None):
    return k * rewards - jnp.mean(rewards, where=where) / 2


FUNCTIONS = [value for name, value in list(globals().items()) if name.startswith("half_baseline")]
ON_HOST = [
    half_baseline_in_numpy,
    half_baseline_in_numpy_of_a_batch,
    half_baseline_in_plain_python,
    half_baseline_that_writes_into_its_rewards,
]


def expected(rewards, k):
    rewards = np.asarray(rewards, np.float64)
    return k * rewards - rewards.mean(axis=-1, keepdims=True) / 2


@pytest.fixture(scope="module", params=FUNCTIONS, ids=lambda function: function.__name__)
def function(request):
    return request.param


@pytest.fixture(scope="module")
def estimator(function):
    return wrap(function)


def close(found, truth):
    np.testing.assert_allclose(found, truth, rtol=2e-5, atol=2e-6)


def test_any_function_gives_what_it_means(estimator, function):
    assert estimator.name == function.__name__
    given = REWARDS.copy()
    found = estimator(given, K)
    assert found.dtype == jnp.float32
    close(found, expected(REWARDS, K))
    close(estimator(REWARDS[0, 0], 2), expected(REWARDS[0, 0], 2))
    np.testing.assert_array_equal(given, REWARDS)


def test_it_works_in_compiled_programs(estimator):
    of_k = bind(estimator, K) if not estimator.traced_k else estimator
    close(jax.jit(of_k)(REWARDS, K), expected(REWARDS, K))
    mapped = jax.jit(jax.vmap(jax.vmap(of_k, in_axes=(0, None)), in_axes=(0, None)))
    close(mapped(REWARDS, K), expected(REWARDS, K))

    @jax.jit
    def scanned(rewards):
        return jax.lax.scan(lambda total, group: (total, of_k(group, K)), 0, rewards)[1]

    close(scanned(jnp.asarray(REWARDS[0])), expected(REWARDS[0], K))


def test_many_k_at_once_where_k_is_traced(estimator):
    ks = jnp.arange(1, 4)
    if estimator.traced_k:
        found = jax.jit(jax.vmap(estimator, in_axes=(None, 0)))(REWARDS[0], ks)
        close(found, np.stack([expected(REWARDS[0], k) for k in (1, 2, 3)]))
    else:
        with pytest.raises(ValueError, match="k as a Python int"):
            jax.jit(estimator)(REWARDS[0], 2)


def test_masked_samples_do_not_count(estimator):
    where = np.array([True, True, False, True, False, True])
    masked = np.broadcast_to(where, REWARDS.shape)
    found = np.asarray(estimator(REWARDS, 2, where=masked))
    close(found[..., where], expected(REWARDS[..., where], 2))
    assert (found[..., ~where] == 0).all()
    if estimator.traced_k:
        close(jax.jit(estimator)(REWARDS, 2, where=masked), found)
    none = np.zeros_like(masked)
    with pytest.raises(ValueError, match="0 valid samples"):
        estimator(REWARDS, 2, where=none)


def test_no_gradient_flows_and_types_are_kept(estimator):
    of_k = bind(estimator, K)
    slope = jax.grad(lambda rewards: jnp.sum(of_k(rewards, K) ** 2))(jnp.asarray(REWARDS[0, 0]))
    np.testing.assert_array_equal(slope, 0)
    assert of_k(REWARDS.astype(np.float16), K).dtype == jnp.float16
    assert of_k(np.arange(B), K).dtype == jnp.float32
    assert of_k(np.zeros((0, B), np.float32), K).shape == (0, B)
    with jax.enable_x64(True):
        wide = of_k(REWARDS.astype(np.float64), K)
        assert wide.dtype == jnp.float64
        np.testing.assert_allclose(wide, expected(REWARDS, K), rtol=1e-12, atol=1e-12)


def test_what_is_known_of_a_function(estimator, function):
    assert estimator.citation is estimator.unbiased is estimator.scale is None
    assert estimator.traced_k == (function is not half_baseline_of_a_static_k)
    assert estimator.on_host == (function in ON_HOST)
    assert not estimator.randomized
    assert estimator.reward_type == "real"
    assert {estimator: 1}[estimator] == 1


def test_one_program_for_each_bound_k_and_one_for_all_traced_k():
    traces = []

    @jax.jit
    def run(rewards, k):
        traces.append(None)
        return wrapped(rewards, k)

    wrapped = wrap(half_baseline)
    for k in (1, 2, 3):
        close(run(REWARDS[0], k), expected(REWARDS[0], k))
    assert len(traces) == 1


def test_a_host_function_called_back_often_does_not_stall():
    wrapped = wrap(half_baseline_in_numpy)

    @jax.jit
    def run(rewards):
        def add(total, _):
            return total + wrapped(rewards, 2) / 200, None

        return jax.lax.scan(add, jnp.zeros_like(rewards), length=200)[0]

    rewards = jnp.asarray(np.random.default_rng(0).normal(size=(50, 64)), jnp.float32)
    np.testing.assert_allclose(run(rewards), expected(rewards, 2), rtol=1e-3, atol=1e-4)


def test_jax_that_cannot_be_traced_runs_as_it_is():
    def best_only(rewards, k):
        best = float(rewards.max())  # no tracer has a value
        return rewards.at[jnp.argmax(rewards)].add(best)

    wrapped = wrap(best_only)
    assert wrapped.on_host
    truth = REWARDS + REWARDS.max(-1, keepdims=True) * (REWARDS.max(-1, keepdims=True) == REWARDS)
    close(jax.jit(wrapped)(REWARDS, 2), truth)


@pytest.mark.parametrize("parameter", ["key", "third"])
def test_a_function_with_a_key_gets_one_for_each_group(parameter):
    def by_name(rewards, k, *, key):
        return rewards + jax.random.normal(key, rewards.shape)

    def by_place(rewards, k, random):
        return rewards + jax.random.normal(random, rewards.shape)

    wrapped = wrap(by_name if parameter == "key" else by_place)
    assert wrapped.randomized
    noise = np.asarray(jax.jit(wrapped)(REWARDS, 2, key=jax.random.key(3))) - REWARDS
    assert len(np.unique(noise.round(5))) == REWARDS.size
    with pytest.raises(ValueError, match="pass key="):
        wrapped(REWARDS, 2)


def test_rewards_of_another_kind_are_found_out():
    def successes(rewards, k):
        values = np.asarray(rewards)
        if not np.isin(values, (0, 1)).all():
            raise ValueError("only 0 and 1")
        return values - values.mean()

    wrapped = wrap(successes)
    assert wrapped.reward_type == "binary"
    with pytest.raises(ValueError, match="must be 0 or 1"):
        wrapped(REWARDS, 2)


def test_k_that_a_function_refuses_is_told_in_one_line():
    def from_four(rewards, k):
        if k < 4:
            raise ValueError("k must be\nat least 4")
        return rewards - rewards.mean()

    wrapped = wrap(from_four)
    assert not wrapped.traced_k
    message = "from_four fails at k = 2, group_size 8: ValueError: k must be at least 4"
    assert first_call_error(wrapped, 8, 2) == message
    assert first_call_error(wrapped, 8, 5) == ""


def test_registered_names_and_estimators_are_handed_back():
    assert wrap("maxpo") is estimators.get("maxpo") is wrap(estimators.get("maxpo"))
    with pytest.raises(ValueError, match="did you mean 'maxpo'"):
        wrap("maxp0")


def test_what_changes_its_rewards_in_place_is_taken_as_numpy():
    def half_baseline_after_sorting(rewards, k):
        rewards.sort()  # JAX returns the sorted ones
        return k * rewards - rewards.mean() / 2

    wrapped = wrap(half_baseline_after_sorting)
    assert wrapped.on_host
    close(wrapped(REWARDS, 2), expected(np.sort(REWARDS), 2))


def test_what_ends_the_program_fails_in_one_line():
    with pytest.raises(CannotCallError, match=r"FunctionExitError: SystemExit: 3$"):
        wrap(lambda rewards, k: sys.exit(3))


def test_the_error_told_is_the_functions_own():
    with pytest.raises(CannotCallError, match="no_such_method"):  # and not that NumPy has no `at`
        wrap(lambda rewards, k: rewards.at[0].no_such_method())


def sum_only(rewards, k):
    return rewards.sum()


def always_fails(rewards, k):
    raise RuntimeError("not\nyet written")


def words(rewards, k):
    return ["a"] * len(rewards)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (sum_only, r"returned float64 of shape \[\] for rewards of shape \[6\]"),
        (always_fails, "fails on an ordinary group: RuntimeError: not yet written$"),
        (words, r"returned <U1 of shape \[6\]"),
    ],
)
def test_what_is_no_estimator_is_told_in_one_line(function, message):
    with pytest.raises(CannotCallError, match=message):
        wrap(function)
