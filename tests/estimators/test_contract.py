"""The contract that every registered estimator keeps; a new one is tested by being registered."""

import pathlib
import re

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import maxpo_jax
from maxpo_jax import estimators

GROUP_SIZE = 6


@pytest.fixture(params=estimators.names())
def estimator(request):
    return estimators.get(request.param)


def arguments(estimator) -> dict:
    return {"key": jax.random.key(7)} if estimator.randomized else {}


def allowed_ks(estimator, group_size: int = GROUP_SIZE) -> list[int]:
    return [k for k in range(1, group_size + 1) if estimator.k_range.contains(k, group_size)]


def example_rewards(estimator) -> jax.Array:
    binary = jnp.array([[0, 1, 0, 0, 1, 0], [1, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1]], jnp.float32)
    real = jnp.array([[2.0, -1.0, 0.5, 7.0, 3.0, 4.0], [1, 1, 2, 3, 3, 0], [5, 0, 0, 0, 0, 0]])
    return binary if estimator.reward_type == "binary" else jnp.concatenate([binary, real])


def test_names_a_source_that_exists(estimator):
    bibliography = pathlib.Path(maxpo_jax.__file__).with_name("references.bib").read_text("utf-8")
    assert estimator.citation in re.findall(r"^@\w+\{([^,]+),", bibliography, re.MULTILINE)
    assert estimator.equation


def test_allows_some_k(estimator):
    assert allowed_ks(estimator)


def test_finite_of_the_shape_and_dtype_of_the_rewards(estimator):
    rewards = example_rewards(estimator)
    for k in allowed_ks(estimator):
        advantages = estimator(rewards, k, **arguments(estimator))
        assert advantages.shape == rewards.shape
        assert advantages.dtype == rewards.dtype
        assert np.isfinite(advantages).all()


def test_eager_jit_vmap_and_traced_k_agree_and_one_compilation_serves_every_k(estimator):
    rewards = example_rewards(estimator)
    atol = 2e-6 * float(jnp.abs(rewards).max())  # sums of rewards are as precise as the largest
    traces = []

    @jax.jit
    def traced(rewards, k):
        traces.append(k)
        return estimator(rewards, k, **arguments(estimator))

    for k in allowed_ks(estimator):
        eager = estimator(rewards, k, **arguments(estimator))
        np.testing.assert_allclose(traced(rewards, k), eager, rtol=2e-6, atol=atol)
    assert len(traces) == 1
    jitted = jax.jit(lambda r: estimator(r, k, **arguments(estimator)))(rewards)
    np.testing.assert_allclose(jitted, eager, rtol=2e-6, atol=atol)
    if not estimator.randomized:
        mapped = jax.vmap(lambda r: estimator(r, k))(rewards)
        np.testing.assert_allclose(mapped, eager, rtol=2e-6, atol=atol)


def test_leading_axes_are_batch_axes(estimator):
    if estimator.randomized:
        pytest.skip("the draws depend on the shape")
    rewards = example_rewards(estimator)
    k = allowed_ks(estimator)[-1]
    stacked = estimator(jnp.stack([rewards, rewards[::-1]]), k)
    np.testing.assert_array_equal(stacked[0], estimator(rewards, k))
    np.testing.assert_array_equal(stacked[1], estimator(rewards, k)[::-1])


def test_no_gradient_flows_through_the_rewards(estimator):
    k = allowed_ks(estimator)[0]
    rewards = example_rewards(estimator)[0]
    gradient = jax.grad(lambda r: jnp.sum(estimator(r, k, **arguments(estimator)) ** 2))(rewards)
    np.testing.assert_array_equal(gradient, jnp.zeros_like(rewards))


def test_centered_as_stated(estimator):
    rewards = example_rewards(estimator)
    sums = [
        float(jnp.abs(jnp.sum(estimator(rewards, k, **arguments(estimator)), axis=-1)).max())
        for k in allowed_ks(estimator)
    ]
    assert (max(sums) < 1e-5) == estimator.centered


def test_shift_invariant_as_stated(estimator):
    if estimator.reward_type == "binary":
        pytest.skip("a shifted 0/1 reward is none")
    rewards = example_rewards(estimator)

    def change(k):
        shifted = estimator(rewards + 8, k, **arguments(estimator))
        return float(jnp.abs(shifted - estimator(rewards, k, **arguments(estimator))).max())

    changes = [change(k) for k in allowed_ks(estimator)]
    assert (max(changes) < 1e-4) == estimator.shift_invariant


def test_scale_equivariant_as_stated(estimator):
    if estimator.reward_type == "binary":
        pytest.skip("a scaled 0/1 reward is none")
    rewards = example_rewards(estimator)

    def change(k):
        scaled = estimator(4 * rewards, k, **arguments(estimator))
        return float(jnp.abs(scaled - 4 * estimator(rewards, k, **arguments(estimator))).max())

    changes = [change(k) for k in allowed_ks(estimator)]
    assert (max(changes) < 1e-4) == estimator.scale_equivariant


@hypothesis.settings(max_examples=20, deadline=None, derandomize=True)
@hypothesis.given(
    rewards=st.lists(st.integers(0, 3), min_size=GROUP_SIZE, max_size=GROUP_SIZE),
    order=st.permutations(range(GROUP_SIZE)),
    data=st.data(),
)
def test_permutation_equivariant(rewards, order, data):
    estimator = estimators.get(data.draw(st.sampled_from(estimators.names())))
    if estimator.randomized:
        return
    values = jnp.asarray(rewards, jnp.float32)
    if estimator.reward_type == "binary":
        values = jnp.minimum(values, 1.0)
    k = data.draw(st.sampled_from(allowed_ks(estimator)))
    permutation = jnp.asarray(order)
    np.testing.assert_allclose(
        estimator(values[permutation], k), estimator(values, k)[permutation], rtol=1e-6, atol=1e-6
    )
