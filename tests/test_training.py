"""The training loop against NumPy, and its gradient estimates against exact enumeration."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import old_training as training
from experiments.old_lottery import Lottery
from maxpo_jax import estimators
from maxpo_jax.bandits import contextual as contexts
from maxpo_jax.bandits import exact

LOTTERY = Lottery(jnp.array([0.2, 1.0, 0.6]), jnp.ones(3))
LOGITS = jnp.array([0.5, -0.5, 0.0])


def recorded(key, params, k):
    """A "gradient" that is known from outside: it shows K and the parameters it was given."""
    return params * 0.1 + k.astype(params.dtype)


def test_plain_ascent_is_the_recursion_of_its_definition():
    ks = np.array([3, 3, 2, 1])
    history = training.train(
        jax.random.key(0),
        jnp.array([1.0, -2.0]),
        jnp.asarray(ks),
        0.5,
        gradient_estimate=recorded,
        optimizer=optax.identity(),
        updates_per_record=2,
    )
    params, norms, records = np.array([1.0, -2.0]), [], []
    for k in ks:
        gradient = 0.1 * params + k
        params = params + 0.5 * gradient
        norms.append(np.linalg.norm(gradient))
        records.append(params)
    np.testing.assert_allclose(history.params, records[1::2], rtol=1e-6)
    np.testing.assert_allclose(history.gradient_norm, np.reshape(norms, (2, 2)).mean(1), rtol=1e-6)


def test_adam_and_its_proxy_are_the_textbook_ones():
    ks = np.array([5, 1, 2, 7, 3, 3])
    history = training.train(
        jax.random.key(0),
        jnp.array([1.0, -2.0]),
        jnp.asarray(ks),
        0.1,
        gradient_estimate=recorded,
        optimizer=optax.scale_by_adam(),
        updates_per_record=3,
    )
    params, m, v = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for step, k in enumerate(ks, start=1):
        gradient = 0.1 * params + k
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        m_hat, v_hat = m / (1 - 0.9**step), v / (1 - 0.999**step)
        params = params + 0.1 * m_hat / (np.sqrt(v_hat) + 1e-8)
    np.testing.assert_allclose(history.params[-1], params, rtol=1e-5)
    last = jax.tree.map(lambda leaf: leaf[-1], history.optimizer_state)
    assert training.adam_variance_proxy(last) == pytest.approx((v_hat - m_hat**2).sum(), rel=1e-4)


def test_windows_have_to_fit():
    with pytest.raises(ValueError, match="must divide the number of updates"):
        training.train(
            jax.random.key(0),
            jnp.zeros(1),
            jnp.full(5, 1),
            0.1,
            gradient_estimate=recorded,
            optimizer=optax.identity(),
            updates_per_record=2,
        )


def test_bandit_gradient_has_the_exact_mean_and_variance():
    name, k, group_size, num_draws = "maxpo", 2, 4, 40_000
    draw = functools.partial(
        training.lottery_gradient,
        lottery=LOTTERY,
        estimator=estimators.get(name),
        group_size=group_size,
    )
    draws = jax.jit(jax.vmap(lambda key: draw(key, LOGITS, k)))(
        jax.random.split(jax.random.key(1), num_draws)
    )
    moments = exact.moments(estimators.get(name), LOGITS, LOTTERY.prizes, group_size, k)
    error = np.asarray(draws, np.float64).mean(axis=0) - moments.mean
    assert np.all(np.abs(error) < 5 * np.sqrt(np.diag(moments.covariance) / num_draws))
    keys = jax.random.split(jax.random.key(2), num_draws)
    variance = training.total_variance(keys, LOGITS, k, draw)
    assert variance == pytest.approx(np.trace(moments.covariance), rel=5 * (8 / num_draws) ** 0.5)


def test_prompts_gradient_has_the_exact_mean():
    prompts = contexts.make_contextual_bandit(jax.random.key(3), jnp.array([0.1, 0.4, 0.7]), 4, 2)
    weights = 0.3 * jax.random.normal(jax.random.key(4), (prompts.features.shape[1], 4))
    k, num_draws = 2, 20_000
    draws = jax.jit(
        jax.vmap(
            lambda key: training.prompts_gradient(
                key, weights, k, prompts=prompts, estimator=estimators.get("maxpo"), group_size=4
            )
        )
    )(jax.random.split(jax.random.key(5), num_draws))
    draws = np.asarray(draws, np.float64)

    def pass_at_2(weights):  # the sum over prompts of 1 - (1-p)^2, by autodiff
        logits = prompts.base_logits + prompts.features @ weights
        p = jnp.sum(jnp.where(prompts.correct, jax.nn.softmax(logits), 0), axis=1)
        return jnp.sum(1 - (1 - p) ** 2)

    error = draws.mean(axis=0) - np.asarray(jax.grad(pass_at_2)(weights))
    assert np.all(np.abs(error) < 5 * draws.std(axis=0) / num_draws**0.5)


def test_a_randomized_estimator_gets_a_key():
    draw = functools.partial(
        training.lottery_gradient,
        lottery=LOTTERY,
        estimator=estimators.get("pass_at_k_training_full"),
        group_size=4,
    )
    assert np.isfinite(jax.jit(draw)(jax.random.key(0), LOGITS, 2)).all()
