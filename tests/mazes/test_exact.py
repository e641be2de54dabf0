"""The dynamic program against the enumeration of all action sequences in rational numbers."""

from fractions import Fraction
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxpo_jax.mazes import builders as maze_builders
from maxpo_jax.mazes import exact as maze_exact

MAZES = {
    "path": maze_builders.from_path("1101"),
    "dead ends": maze_builders.from_path("11011", dead_end_length=2),
    "drawing": maze_builders.from_drawing("S-o-o-o\n| |\no o-G"),
    "time limit": maze_builders.from_path("1101", 1)._replace(max_steps=jnp.array(2, jnp.int32)),
}

gradient_of_value = jax.jit(jax.grad(maze_exact.max_at_k, argnums=1), static_argnums=(2, 3))


def enumerate_episodes(env, probs):
    """Plays every action sequence: a list of (probability, return, reached the goal)."""
    transitions, rewards = np.asarray(env.transitions), np.asarray(env.rewards)
    terminal = np.asarray(env.terminal)

    def play(state, time, weight, total):
        if terminal[state] or time == int(env.max_steps):
            return [(weight, total, state == int(env.goal))]
        return [
            episode
            for action in (0, 1)
            for episode in play(
                int(transitions[state, action]),
                time + 1,
                weight * (probs[state] if action else 1 - probs[state]),
                total + int(rewards[state, action]),
            )
        ]

    return play(int(env.start), 0, Fraction(1), 0)


def enumerated_max_at_k(env, probs, k):
    """E max of k episodes, over all k-tuples of distinct returns, from the enumerated episodes."""
    weights = {}
    for weight, total, _ in enumerate_episodes(env, probs):
        weights[total] = weights.get(total, 0) + weight

    @cache
    def expectation(remaining, best):
        if remaining == 0:
            return Fraction(best)
        return sum(w * expectation(remaining - 1, max(best, r)) for r, w in weights.items())

    return expectation(k, 0)


def random_probs(env, seed):
    numerators = np.random.default_rng(seed).integers(1, 20, env.terminal.shape[0])
    return [Fraction(int(numerator), 20) for numerator in numerators]


def as_float64(probs):
    return jnp.asarray([float(prob) for prob in probs], jnp.float64)


@pytest.mark.parametrize("name", MAZES)
def test_distribution_and_goal_probability(name):
    env, num_steps = MAZES[name], 6
    probs = random_probs(env, 0)
    expected, at_goal = [Fraction(0)] * (num_steps + 1), Fraction(0)
    for weight, total, reached in enumerate_episodes(env, probs):
        expected[total] += weight
        at_goal += weight * reached
    with jax.enable_x64(True):
        measured = maze_exact.return_distribution(env, as_float64(probs), num_steps)
        goal = maze_exact.goal_probability(env, as_float64(probs), num_steps)
    np.testing.assert_allclose(measured, np.array(expected, float), rtol=0, atol=1e-14)
    assert abs(float(goal) - float(at_goal)) < 1e-14


@pytest.mark.parametrize("name", MAZES)
@pytest.mark.parametrize("k", [1, 2, 5])
def test_max_at_k(name, k):
    env = MAZES[name]
    probs = random_probs(env, 1)
    with jax.enable_x64(True):
        value = maze_exact.max_at_k(env, as_float64(probs), k, num_steps=6)
        traced = jax.jit(maze_exact.max_at_k, static_argnames="num_steps")(
            env, as_float64(probs), jnp.asarray(k), num_steps=6
        )
    assert abs(float(value) - float(enumerated_max_at_k(env, probs, k))) < 1e-13
    assert abs(float(traced) - float(value)) < 1e-13


@pytest.mark.parametrize("name", MAZES)
@pytest.mark.parametrize("k", [1, 3])
def test_gradient_over_all_states(name, k):
    """J_K is a polynomial in each probability: exact differences of rationals converge fast."""
    env = MAZES[name]
    probs = random_probs(env, 2)
    with jax.enable_x64(True):
        gradient = gradient_of_value(env, as_float64(probs), k, 6)
    step = Fraction(1, 10**8)
    for state in range(len(probs)):
        up, down = list(probs), list(probs)
        up[state] += step
        down[state] -= step
        difference = enumerated_max_at_k(env, up, k) - enumerated_max_at_k(env, down, k)
        assert abs(float(gradient[state]) - float(difference / (2 * step))) < 1e-12


@pytest.mark.parametrize("k", [1, 2, 4])
def test_gradient_is_finite_for_a_policy_that_is_certain(k):
    env = MAZES["dead ends"]
    for prob in (0.0, 1.0):
        probs = jnp.full(env.terminal.shape[0], prob)
        gradient = gradient_of_value(env, probs, k, 5)
        assert bool(jnp.isfinite(gradient).all())


def test_a_batch_of_padded_mazes_gives_the_same_values():
    mazes = [maze_builders.from_path(path) for path in ("10", "11011")]
    batch = maze_builders.stack(mazes)
    values = jax.vmap(lambda env: maze_exact.max_at_k(env, jnp.full(7, 0.7), 4, 5))(batch)
    for value, env in zip(values, mazes, strict=True):
        alone = maze_exact.max_at_k(env, jnp.full(env.terminal.shape[0], 0.7), 4, 5)
        np.testing.assert_allclose(value, alone, rtol=1e-6)


def test_stateless_optimum_of_a_maze_worked_by_hand():
    """Path "10": J_1 = p + p(1 - p) grows to p = 1; J_2 = 2 - (1 - p)^2 - (1 - p(1 - p))^2."""
    env = maze_builders.from_path("10")
    optimum = maze_exact.stateless_optimum(env, 1)
    assert abs(optimum.prob - 1) < 1e-9
    assert abs(optimum.value - 1) < 1e-12

    optimum = maze_exact.stateless_optimum(env, 2)
    p = np.polynomial.Polynomial([0, 1])
    value = 2 - (1 - p) ** 2 - (1 - p * (1 - p)) ** 2
    slope = value.deriv()
    roots = [root.real for root in slope.roots() if abs(root.imag) < 1e-9]
    stationary = [root for root in roots if 0 < root < 1]
    best = max([*stationary, 0.0, 1.0], key=value)
    assert abs(optimum.prob - best) < 1e-12
    assert abs(optimum.value - value(best)) < 1e-12


def test_tabular_optimum_is_the_correct_path():
    assert maze_exact.tabular_optimum(MAZES["dead ends"]) == 5
    assert maze_exact.tabular_optimum(MAZES["time limit"]) == 2
