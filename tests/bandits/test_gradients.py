"""Streaming gradient moments against direct computation and against exact moments."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxpo_jax import estimators
from maxpo_jax.bandits import exact, gradients
from maxpo_jax.bandits.bandit import Bandit

NAMES = ("maxpo", "ei", "pkpo_sloo", "rloo")
ESTIMATORS = tuple(estimators.get(name) for name in NAMES)


@functools.partial(jax.jit, static_argnames=("group_size", "num_draws", "block_size", "names"))
def moments(key, logits, bandit, ks, *, group_size, num_draws, block_size=1000, names=NAMES):
    return gradients.bandit_moments(
        key,
        logits,
        bandit,
        ks,
        estimators=tuple(estimators.get(name) for name in names),
        group_size=group_size,
        num_draws=num_draws,
        block_size=block_size,
    )


def random_block(draws: int = 50, group_size: int = 6, num_actions: int = 4):
    advantages_key, actions_key = jax.random.split(jax.random.key(5))
    return (
        jax.random.normal(advantages_key, (2, 3, draws, group_size)),
        jax.random.randint(actions_key, (draws, group_size), 0, num_actions),
        jnp.array([0.1, 0.2, 0.3, 0.4]),
    )


def gradients_by_autodiff(advantages, actions, probs, k):
    """The gradient of (K/B) sum_i A_i log pi(a_i), group by group."""

    def objective(logits, advantage, action):
        return k / action.shape[0] * jnp.sum(advantage * jax.nn.log_softmax(logits)[action])

    of_draws = jax.vmap(jax.grad(objective), in_axes=(None, 0, 0))
    of_first = jax.vmap(of_draws, in_axes=(None, 0, None))
    return jax.vmap(of_first, in_axes=(None, 0, None))(jnp.log(probs), advantages, actions)


def test_gradient_estimates_agree_with_autodiff():
    advantages, actions, probs = random_block()
    actions = jnp.broadcast_to(actions, advantages.shape)
    got = gradients.gradient_estimates(advantages, actions, probs, 3)
    expected = gradients_by_autodiff(advantages, actions[0, 0], probs, 3)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_block_moments_agree_with_the_estimates_themselves():
    advantages, actions, probs = random_block()
    g = np.asarray(gradients_by_autodiff(advantages, actions, probs, 3), np.float64)
    block = gradients.block_moments(advantages, actions, probs, jnp.full((2, 3), 3))
    assert block.num_draws == 50
    np.testing.assert_allclose(block.mean, g.mean(axis=2), atol=1e-6)
    variance = g.var(axis=2, ddof=1).sum(axis=-1)
    np.testing.assert_allclose(block.total_variance, variance, rtol=1e-5)


def test_merged_blocks_are_the_whole():
    advantages, actions, probs = random_block()
    k = jnp.full((2, 3), 2)
    whole = gradients.block_moments(advantages, actions, probs, k)
    parts = gradients.merge(
        gradients.block_moments(advantages[:, :, :13], actions[:13], probs, k),
        gradients.block_moments(advantages[:, :, 13:], actions[13:], probs, k),
    )
    np.testing.assert_allclose(parts.mean, whole.mean, atol=1e-6)
    np.testing.assert_allclose(parts.total_variance, whole.total_variance, rtol=1e-5)


def test_the_size_of_the_blocks_does_not_matter():
    logits, bandit = (
        jnp.array([0.3, -0.2, 0.0]),
        Bandit(jnp.array([0.0, 1.0, 3.0]), noise=jnp.array(0.5)),
    )
    run = functools.partial(
        moments,
        jax.random.key(2),
        logits,
        bandit,
        jnp.array([2]),
        group_size=5,
        num_draws=1000,
        names=("maxpo",),
    )
    whole, blocks = run(block_size=5000), run(block_size=7)
    assert whole.num_draws == blocks.num_draws == 1000
    np.testing.assert_allclose(blocks.mean, whole.mean, atol=2e-6)
    np.testing.assert_allclose(blocks.total_variance, whole.total_variance, rtol=2e-5)


def test_monte_carlo_agrees_with_exact_moments_within_its_standard_error():
    logits, rewards = np.array([0.5, 0.0, -1.0]), np.array([0.0, 1.0, 2.5])
    group_size, draws, ks = 6, 40_000, (1, 3, 5)
    points = [(name, k) for k in ks for name in NAMES]
    sampled = moments(
        jax.random.key(11),
        jnp.asarray(logits, jnp.float32),
        Bandit(jnp.asarray(rewards, jnp.float32)),
        jnp.array([k for _, k in points]),
        group_size=group_size,
        num_draws=draws,
        names=tuple(name for name, _ in points),
    )
    for point, (name, k) in enumerate(points):
        truth = exact.moments(name, logits, rewards, group_size, k)
        standard_error = np.sqrt(np.diag(truth.covariance) / draws)
        error = np.abs(np.asarray(sampled.mean[point]) - truth.mean)
        assert np.all(error <= 4.5 * standard_error + 1e-6), (name, k)
        # A variance of heavier than normal tails; 4% is about six of its standard errors.
        variance = float(sampled.total_variance[point])
        assert variance == pytest.approx(np.trace(truth.covariance), rel=0.04)


def test_an_estimator_at_many_k_is_traced_once():
    traces = []

    def counted(rewards, k):
        traces.append(None)
        return rewards * k

    several = (estimators.wrap(counted),) * 3
    traces.clear()
    found = jax.jit(
        lambda key, ks: gradients.bandit_moments(
            key,
            jnp.zeros(3),
            Bandit(jnp.array([0.0, 1.0, 3.0])),
            ks,
            estimators=several,
            group_size=4,
            num_draws=100,
            block_size=100,
        )
    )(jax.random.key(0), jnp.array([1, 2, 4])).mean
    assert len(traces) == 1
    # K stands in the advantages and before the sum.
    found = np.asarray(found)
    np.testing.assert_allclose(found[1:], found[0] * np.array([[4.0], [16.0]]), rtol=1e-5)


UNSURE = Bandit(jnp.array([0.2, 1.0, 0.6]), success_probs=jnp.array([1.0, 0.5, 0.8]))
LOGITS = jnp.array([0.5, -0.5, 0.0])


def test_the_gradient_of_a_group_has_the_exact_mean_and_variance():
    """An arm that pays or fails is two arms, of which one pays 0."""
    group_size, k, num_draws = 4, 2, 40_000
    world = gradients.make_world(UNSURE, estimator=ESTIMATORS[0], group_size=group_size)
    estimates = jax.jit(
        lambda key: jax.vmap(lambda randomness: world.estimate(randomness, LOGITS, jnp.int32(k)))(
            world.draw(key, num_draws)
        )
    )(jax.random.key(1))
    draws = np.asarray(estimates.gradient, np.float64)
    chance = np.asarray(UNSURE.success_probs, np.float64)
    probs = np.asarray(jax.nn.softmax(LOGITS), np.float64)
    split = np.concatenate([probs * chance, probs * (1 - chance)])
    rewards = np.concatenate([UNSURE.rewards, np.zeros(3)])
    kept = split > 0
    truth = exact.moments("maxpo", np.log(split[kept]), rewards[kept], group_size, k)
    # The score of an arm is the sum of the scores of its two outcomes, each in the share that it
    # has: g = M h, where h is the gradient in the logits of the outcomes.
    to_arm = np.tile(np.eye(3), 2)[:, kept]
    mean, covariance = to_arm @ truth.mean, to_arm @ truth.covariance @ to_arm.T
    error = draws.mean(axis=0) - mean
    assert np.all(np.abs(error) < 5 * np.sqrt(np.diag(covariance) / num_draws))
    squares = np.sum((draws - mean) ** 2, axis=1)
    standard_error = squares.std() / num_draws**0.5
    assert abs(squares.mean() - np.trace(covariance)) < 5 * standard_error
    assert set(np.unique(estimates.rewards)) == set(np.float32([0.0, 0.2, 0.6, 1.0]))


def test_the_first_groups_do_not_depend_on_how_many_are_drawn():
    noisy = UNSURE._replace(noise=jnp.array(0.1))
    for name in ("maxpo", "pass_at_k_training_full"):
        world = gradients.make_world(noisy, estimator=estimators.get(name), group_size=4)
        few, many = (world.draw(jax.random.key(0), n) for n in (3, 9))
        for a, b in zip(jax.tree.leaves(few), jax.tree.leaves(many), strict=True):
            np.testing.assert_array_equal(a, b[:3])


def test_a_randomized_estimator_gets_a_key():
    estimator = estimators.get("pass_at_k_training_full")
    world = gradients.make_world(UNSURE, estimator=estimator, group_size=4)
    estimate = jax.jit(
        lambda key: world.estimate(
            jax.tree.map(lambda leaf: leaf[0], world.draw(key, 1)), LOGITS, 2
        )
    )(jax.random.key(0))
    assert np.isfinite(estimate.gradient).all()


def test_actions_that_do_not_exist_change_nothing():
    bandit = Bandit(jnp.array([0.0, 1.0, 3.0]))
    padded = Bandit(jnp.array([0.0, 1.0, 3.0, 9.0, -9.0]))
    ks = jnp.array([2])
    run = functools.partial(moments, ks=ks, group_size=5, num_draws=500, names=("maxpo",))
    few = run(jax.random.key(0), jnp.zeros(3), bandit)
    logits = jnp.array([0.0, 0.0, 0.0, -jnp.inf, -jnp.inf])
    many = run(jax.random.key(0), logits, padded)
    np.testing.assert_allclose(many.mean[..., :3], few.mean, atol=1e-6)
    np.testing.assert_array_equal(many.mean[..., 3:], 0)
    np.testing.assert_allclose(many.total_variance, few.total_variance, rtol=1e-5)
