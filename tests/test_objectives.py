"""Exact objectives against enumeration of all outcomes in rationals."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from maxpo_jax import coefficients, objectives
from maxpo_jax.bandits import policy as policies

BANDITS = {
    "real": ([0.5, -1.0, 2.0], [0.25, 0.5, 0.25]),
    "ties": ([1.0, 0.0, 1.0, 0.0], [0.125, 0.5, 0.25, 0.125]),
    "all equal": ([3.0, 3.0], [0.5, 0.5]),
    "one arm": ([2.0], [1.0]),
    "impossible arms": ([5.0, 1.0, 0.0, -2.0], [0.0, 0.5, 0.5, 0.0]),
    "rare": ([0.0, 100.0], [1 - 2**-20, 2**-20]),
}


@pytest.mark.parametrize("name", BANDITS)
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_max_at_k_agrees_with_enumeration(name, k):
    rewards, probs = BANDITS[name]
    truth = float(oracles.max_at_k(rewards, probs, k))
    with jax.enable_x64(True):
        assert objectives.max_at_k(jnp.array(rewards), jnp.array(probs), k) == pytest.approx(
            truth, rel=1e-13
        )
    single = objectives.max_at_k(jnp.array(rewards), jnp.array(probs), jnp.int32(k))
    assert single.dtype == jnp.float32
    assert float(single) == pytest.approx(truth, rel=1e-6)


@pytest.mark.parametrize("name", BANDITS)
@pytest.mark.parametrize("k", [1, 2, 4])
def test_gradient_agrees_with_the_score_function(name, k):
    rewards, probs = BANDITS[name]
    truth = [float(g) for g in oracles.max_at_k_gradient(rewards, probs, k)]
    with jax.enable_x64(True):
        logits = jnp.log(jnp.array(probs))

        def value(theta):
            return objectives.max_at_k(jnp.array(rewards), policies.probabilities(theta), k)

        gradient = jax.jit(jax.grad(value))(logits)
    np.testing.assert_allclose(gradient, truth, atol=1e-12)


COEFFICIENTS = {
    "smallest": (1.0, 0.0, 0.0),
    "median": (0.0, 0.5, 0.5, 0.0),
    "signed": (0.5, -2.0, 1.0),
    "one": (2.0,),
}


@pytest.mark.parametrize("name", BANDITS)
@pytest.mark.parametrize("c", COEFFICIENTS.values(), ids=COEFFICIENTS)
def test_order_statistic_and_its_gradient_agree_with_enumeration(name, c):
    rewards, probs = BANDITS[name]

    def statistic(values):
        return oracles.weighted_sorted(values, c)

    truth = float(oracles.expectation(statistic, rewards, probs, len(c)))
    slope = np.array(oracles.expectation_gradient(statistic, rewards, probs, len(c)), float)
    with jax.enable_x64(True):

        def value(theta):
            return objectives.order_statistic(rewards, policies.probabilities(theta), c)

        found, gradient = jax.jit(jax.value_and_grad(value))(jnp.log(jnp.array(probs)))
    assert found == pytest.approx(truth, rel=1e-13, abs=1e-13)
    np.testing.assert_allclose(gradient, slope, atol=1e-12)
    single = objectives.order_statistic(jnp.array(rewards), jnp.array(probs), c)
    assert single.dtype == jnp.float32
    assert float(single) == pytest.approx(truth, rel=1e-6, abs=1e-6)


def test_order_statistic_of_many_rewards():
    """No binomial overflows; the largest, the smallest and the mean are known by other formulas."""
    rng = np.random.default_rng(0)
    rewards, probs = rng.normal(size=50), rng.dirichlet(np.ones(50))
    k = 2000
    with jax.enable_x64(True):
        r, p = jnp.asarray(rewards), jnp.asarray(probs)
        largest = objectives.order_statistic(r, p, coefficients.max_at_k(k))
        assert largest == pytest.approx(float(objectives.max_at_k(r, p, k)), rel=1e-12)
        smallest = objectives.order_statistic(r, p, coefficients.min_at_k(k))
        assert smallest == pytest.approx(-float(objectives.max_at_k(-r, p, k)), rel=1e-12)
        mean = objectives.order_statistic(r, p, np.full(k, 1 / k))
        assert mean == pytest.approx(rewards @ probs, rel=1e-12)
        slope = jax.grad(objectives.order_statistic)(r, p, coefficients.max_at_k(3))
        truth = jax.grad(objectives.max_at_k)(r, p, 3)
        np.testing.assert_allclose(slope, truth, atol=1e-14)


def test_order_statistic_of_bad_arguments():
    with pytest.raises(ValueError, match=r"^order_statistic: .*\[num_actions\].*jax.vmap"):
        objectives.order_statistic(jnp.zeros((2, 3)), jnp.ones((2, 3)), (1.0,))
    with pytest.raises(ValueError, match=r"^order_statistic: coefficients must be finite, got nan"):
        objectives.order_statistic(jnp.zeros(2), jnp.ones(2), (np.nan,))


def test_k_may_be_real_and_annealed():
    rewards, probs = jnp.array([0.0, 1.0]), jnp.array([0.75, 0.25])
    for k in (0.5, 1.7, 8.0):
        value = objectives.max_at_k(rewards, probs, k)
        np.testing.assert_allclose(value, 1 - 0.75**k, rtol=1e-6)
        slope = jax.grad(lambda x: objectives.max_at_k(rewards, probs, x))(k)
        np.testing.assert_allclose(slope, -(0.75**k) * np.log(0.75), rtol=1e-5)


def test_pass_at_k_is_precise_for_rare_success_and_differentiable_at_certainty():
    np.testing.assert_allclose(objectives.pass_at_k(jnp.float32(1e-7), 3), 3e-7, rtol=1e-6)
    slope = jax.vmap(jax.grad(objectives.pass_at_k), in_axes=(0, None))
    np.testing.assert_array_equal(slope(jnp.array([0.0, 1.0]), 1), [1.0, 1.0])
    np.testing.assert_array_equal(slope(jnp.array([0.0, 0.5, 1.0]), 3), [3.0, 0.75, 0.0])


def test_pass_at_k_is_max_at_k_of_binary_rewards():
    probs = jnp.array([0.2, 0.5, 0.3])
    value = objectives.max_at_k(jnp.array([0.0, 0.0, 1.0]), probs, 4)
    np.testing.assert_allclose(value, objectives.pass_at_k(probs[2], 4), rtol=1e-6)
    exact = 1 - Fraction(7, 10) ** 4
    np.testing.assert_allclose(value, float(exact), rtol=1e-6)


@pytest.mark.parametrize("k", [0, -1, 0.0])
def test_k_must_be_positive(k):
    with pytest.raises(ValueError, match="positive"):
        objectives.max_at_k(jnp.array([0.0, 1.0]), jnp.array([0.5, 0.5]), k)


def test_shapes_must_fit():
    with pytest.raises(ValueError, match=r"\[num_actions\].*jax.vmap"):
        objectives.max_at_k(jnp.zeros((2, 3)), jnp.ones((2, 3)), 1)
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        objectives.max_at_k(jnp.zeros(2), jnp.ones(3), 1)
