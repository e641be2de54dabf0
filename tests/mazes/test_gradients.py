"""The gradient in a maze against the exact one, and training in mazes with known optima."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxpo_jax import estimators, training
from maxpo_jax.mazes import builders as maze_builders
from maxpo_jax.mazes import exact as maze_exact
from maxpo_jax.mazes import gradients
from maxpo_jax.mazes import policy as maze_policies

GROUP_SIZE = 6
FOUR_STATES = maze_builders.from_path("110")  # start, two more, the goal; and the wall
UNBIASED = [
    name
    for name in estimators.names()
    if estimators.get(name).unbiased and estimators.get(name).target in ("J_K", "J_1")
]


def train(
    key,
    maze,
    features,
    weights,
    k,
    learning_rate,
    *,
    estimator,
    group_size,
    num_updates,
    num_steps,
    variance_groups=0,
):
    """Weights after training and records of windows of 10 updates, by plain ascent."""
    return training.train(
        key,
        weights,
        jnp.broadcast_to(k, (num_updates,)),
        learning_rate,
        world=gradients.make_world(
            maze, features, estimator=estimator, group_size=group_size, num_steps=num_steps
        ),
        optimizer=training.OPTIMIZERS["sgd"],
        record=functools.partial(
            gradients.record_window, maze=maze, features=features, num_steps=num_steps
        ),
        updates_per_record=10,
        extra_groups=variance_groups,
    )


def smallest_useful_k(estimator):
    """2 where it is allowed, else the smallest K that is; 1 for estimators of J_1."""
    if estimator.target == "J_1":
        return 1
    allowed = [k for k in range(1, GROUP_SIZE + 1) if estimator.k_range.contains(k, GROUP_SIZE)]
    return 2 if 2 in allowed else allowed[0]


def exact_gradient(maze, features, weights, k, num_steps):
    with jax.enable_x64(True):
        return jax.grad(
            lambda w: maze_exact.max_at_k(
                maze, maze_policies.action_probabilities(w, features), k, num_steps
            )
        )(weights)


@pytest.mark.parametrize(
    ("policy", "name", "k"),
    [
        ("stateless", "rloo", 1),
        ("stateless", "ei", 6),
        ("tabular", "maxpo", 3),
        ("shared", "maxpo", 3),
    ],
)
def test_gradient_is_the_exact_one_within_its_standard_errors(policy, name, k):
    maze, num_steps = maze_builders.from_path("1101", dead_end_length=1), 4
    features = maze_policies.feature_table(policy, maze.terminal.size)
    weights = jnp.linspace(-0.3, 0.8, features.shape[1])
    uniforms = jax.random.uniform(jax.random.key(3), (20_000, GROUP_SIZE, num_steps))
    drawn = jax.jit(
        jax.vmap(
            lambda u: (
                gradients.group_gradient(
                    gradients.Randomness(u),
                    maze,
                    features,
                    weights,
                    k,
                    estimator=estimators.get(name),
                ).gradient
            )
        )
    )(uniforms)
    drawn = np.asarray(drawn, np.float64)
    standard_error = drawn.std(axis=0, ddof=1) / np.sqrt(len(drawn))
    exact = exact_gradient(maze, features, weights, k, num_steps)
    # 4.5 standard errors: about one failure in 10,000 over all components, at this fixed key.
    assert np.all(np.abs(drawn.mean(axis=0) - exact) <= 4.5 * standard_error + 1e-7)


def advantages_of(name):
    """The estimator at its K; on the 0/1 reward "reached the goal" if it is for such rewards."""
    estimator = estimators.get(name)

    def advantages(returns, key):
        rewards = returns == 3 if estimator.reward_type == "binary" else returns
        randomness = {"key": key} if estimator.randomized else {}
        return estimator(rewards, smallest_useful_k(estimator), **randomness)

    return advantages


@pytest.fixture(scope="module")
def train_four_states():
    """One program for all estimators: compiled once, it takes the number of the estimator."""
    branches = [advantages_of(name) for name in UNBIASED]

    @jax.jit
    def train_many(number, k, learning_rate):
        def function(returns, k, key):
            return jax.lax.switch(number, branches, returns, key)

        chosen = dataclasses.replace(estimators.get("maxpo"), function=function, randomized=True)

        def one(key):
            return train(
                key,
                FOUR_STATES,
                maze_policies.feature_table("stateless", FOUR_STATES.terminal.size),
                jnp.zeros(1),
                k,
                learning_rate,
                estimator=chosen,
                group_size=GROUP_SIZE,
                num_updates=600,
                num_steps=3,
                variance_groups=2,
            )

        return jax.vmap(one)(jax.random.split(jax.random.key(0), 40))[1].prob

    return train_many


@pytest.mark.parametrize("name", UNBIASED)
def test_unbiased_estimator_trains_a_four_state_maze_to_its_known_optimum(name, train_four_states):
    """One logit: J_1 is largest at p = 1; J_K inside; the goal alone is likeliest at p = 2/3."""
    estimator = estimators.get(name)
    k = smallest_useful_k(estimator)
    if estimator.reward_type == "binary":
        optimum = 2 / 3
    else:
        optimum = maze_exact.stateless_optimum(FOUR_STATES, k).prob
    prob = train_four_states(UNBIASED.index(name), k, 0.1 / estimator.scale(GROUP_SIZE, k))
    final = np.asarray(prob[:, -20:], np.float64).mean(axis=1)
    standard_error = final.std(ddof=1) / np.sqrt(final.size)
    # A constant rate leaves a bias of the order of the rate, and J_1 is approached for ever.
    assert abs(final.mean() - optimum) <= 0.03 + 4 * standard_error


def test_tabular_policy_learns_the_correct_path():
    maze = maze_builders.from_path("1011", dead_end_length=1)
    num_states = maze.terminal.size
    _, curves = train(
        jax.random.key(0),
        maze,
        maze_policies.feature_table("tabular", num_states),
        jnp.zeros(num_states),
        2,
        0.3,
        estimator=estimators.get("maxpo"),
        group_size=8,
        num_updates=400,
        num_steps=4,
        variance_groups=2,
    )
    assert float(curves.distribution[-1, -1]) > 0.85
    assert float(curves.mean_return[-1]) > 3.6


@pytest.fixture(scope="module")
def curves():
    maze = maze_builders.from_path("110")
    return train(
        jax.random.key(1),
        maze,
        maze_policies.feature_table("stateless", 5),
        jnp.array([0.4]),
        2,
        0.0,
        estimator=estimators.get("maxpo"),
        group_size=GROUP_SIZE,
        num_updates=3000,
        num_steps=3,
        variance_groups=6,
    )


def test_curves_of_a_policy_that_stays_are_the_exact_ones(curves):
    """At learning rate 0 each curve samples one known quantity."""
    weights, curves = curves
    p = 1 / (1 + np.exp(-0.4))
    np.testing.assert_allclose(curves.prob, p, rtol=1e-5)
    np.testing.assert_allclose(curves.entropy, -p * np.log(p) - (1 - p) * np.log(1 - p), rtol=1e-5)
    exact = np.array([1 - p, p * (1 - p), p**3, p**2 * (1 - p)])
    np.testing.assert_allclose(curves.distribution, np.tile(exact, (300, 1)), rtol=2e-5)
    np.testing.assert_allclose(weights, 0.4, rtol=1e-6)

    def within_standard_errors(sampled, truth):
        sampled = np.asarray(sampled, np.float64)
        return abs(sampled.mean() - truth) <= 4 * sampled.std(ddof=1) / np.sqrt(sampled.size)

    assert within_standard_errors(curves.mean_return, exact @ np.arange(4))
    below = np.cumsum(exact)[:-1]
    assert within_standard_errors(curves.best_return, np.sum(1 - below**GROUP_SIZE))


def test_gradient_variance_is_that_of_independent_groups(curves):
    _, curves = curves
    maze = maze_builders.from_path("110")
    uniforms = jax.random.uniform(jax.random.key(9), (20_000, GROUP_SIZE, 3))
    drawn = jax.jit(
        jax.vmap(
            lambda u: (
                gradients.group_gradient(
                    gradients.Randomness(u),
                    maze,
                    maze_policies.feature_table("stateless", 5),
                    jnp.array([0.4]),
                    2,
                    estimator=estimators.get("maxpo"),
                ).gradient
            )
        )
    )(uniforms)
    reference = np.asarray(drawn, np.float64)[:, 0]
    squares = (reference - reference.mean()) ** 2
    sampled = np.asarray(curves.gradient_variance, np.float64)
    error = np.hypot(
        sampled.std(ddof=1) / np.sqrt(sampled.size), squares.std(ddof=1) / np.sqrt(squares.size)
    )
    assert abs(sampled.mean() - reference.var(ddof=1)) <= 4 * error


def test_k_and_learning_rate_are_traced():
    maze = maze_builders.from_path("110")
    traces = []

    @jax.jit
    def run(key, k, learning_rate):
        traces.append(None)
        return train(
            key,
            maze,
            maze_policies.feature_table("stateless", 5),
            jnp.zeros(1),
            k,
            learning_rate,
            estimator=estimators.get("maxpo"),
            group_size=4,
            num_updates=10,
            num_steps=3,
            variance_groups=2,
        )[0]

    first = run(jax.random.key(0), 1, 0.1)
    second = run(jax.random.key(0), 3, 0.2)
    assert len(traces) == 1
    assert float(first[0]) != float(second[0])
