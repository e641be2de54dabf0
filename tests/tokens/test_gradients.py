"""The gradient of an update from its parts, and the exact truth by listing all responses."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxpo_jax import estimators, training
from maxpo_jax.tokens import exact, gradients
from maxpo_jax.tokens.families import Answers
from maxpo_jax.tokens.gradients import Randomness
from tests.tokens import tiny

PROMPTS = np.array([[1, 2], [3, 0], [2, 2]], np.int32)
RIGHT = np.array([[3, 2, 0], [1, 0, 0], [2, 2, 2]], np.int32)  # the last has no end
sample_groups = jax.jit(gradients.sample_groups)
ANSWERS = Answers(np.repeat(np.arange(3), 3), np.tile(RIGHT, (3, 1)))


def verify(prompt, response):
    return jnp.any(jnp.all(response[None] == jnp.asarray(RIGHT), axis=1))


def probabilities(policy):
    """[prompts, 40] of all responses."""
    return np.exp(np.stack([np.asarray(tiny.log_probs(policy, prompt)) for prompt in PROMPTS]))


def is_right():
    return np.array([response in RIGHT.tolist() for response in tiny.responses().tolist()])


def test_success_probabilities_are_the_sum_over_all_responses_that_pass():
    with jax.enable_x64(True):
        found = exact.success_probabilities(tiny.policy(), PROMPTS, ANSWERS)
        truth = probabilities(tiny.policy()) @ is_right()
        np.testing.assert_allclose(found, truth, rtol=0, atol=1e-12)
        j = exact.max_at_k(tiny.policy(), PROMPTS, ANSWERS, 5)
        assert float(j) == pytest.approx(np.mean(1 - (1 - truth) ** 5), abs=1e-12)


def test_exact_gradient_is_that_of_all_responses():
    """By the chain rule, through the scores of all 40 responses to the first prompt."""
    one = Answers(np.zeros(3, int), RIGHT)
    with jax.enable_x64(True):
        found = tiny.vector(jax.jit(exact.gradient)(tiny.policy(), tiny.PROMPT[None], one, 3))
        probs = np.exp(np.asarray(tiny.log_probs(tiny.policy())))
    p = probs @ is_right()
    truth = 3 * (1 - p) ** 2 * (probs * is_right()) @ tiny.scores()
    np.testing.assert_allclose(found, truth, rtol=0, atol=1e-12)


def test_exact_gradient_is_that_of_finite_differences():
    with jax.enable_x64(True):
        value = jax.jit(lambda policy: exact.max_at_k(policy, PROMPTS, ANSWERS, 4))
        policy, gradient = (
            tiny.policy(),
            jax.jit(exact.gradient)(tiny.policy(), PROMPTS, ANSWERS, 4),
        )
        step = jax.tree.map(lambda leaf: 1e-5 * jnp.ones_like(leaf), policy)
        ahead, behind = (
            value(jax.tree.map(lambda leaf, d, s=sign: leaf + s * d, policy, step))
            for sign in (1, -1)
        )
        assert (ahead - behind) / 2e-5 == pytest.approx(tiny.vector(gradient).sum(), abs=1e-8)


def seeing_keys(rewards, k, *, key):
    """Advantages that show which key a group was given."""
    return rewards + jax.random.uniform(key, rewards.shape, rewards.dtype)


@pytest.mark.parametrize("randomized", [False, True])
def test_an_update_is_the_sum_over_its_samples(randomized):
    """Sampled, verified, weighed and summed in NumPy; prompts may repeat."""
    estimator = estimators.get("maxpo")
    if randomized:
        estimator = dataclasses.replace(estimator, function=seeing_keys, randomized=True)
    rng, which = np.random.default_rng(0), np.array([0, 2, 0])
    uniforms, keys = rng.random((3, 30, tiny.LENGTH)), jax.random.split(jax.random.key(5), 3)
    data = jax.random.key_data(keys) if randomized else None
    with jax.enable_x64(True):
        policy = tiny.policy()
        given = Randomness(jnp.asarray(which), jnp.asarray(uniforms), data)
        found = jax.jit(
            lambda given, policy: gradients.group_gradient(
                given, jnp.asarray(PROMPTS), policy, 2, verify=verify, estimator=estimator
            )
        )(given, policy)
        responses = np.asarray(
            sample_groups(policy, jnp.asarray(PROMPTS[which]), jnp.asarray(uniforms))
        )
        truth, listed = 0, tiny.responses().tolist()
        for row, prompt in enumerate(which):
            rewards = np.array([r in RIGHT.tolist() for r in responses[row].tolist()], float)
            np.testing.assert_array_equal(found.rewards[row], rewards)
            advantages = estimator(jnp.asarray(rewards), 2, key=keys[row])
            scores = tiny.scores_of(policy, PROMPTS[prompt])
            for advantage, response in zip(advantages, responses[row].tolist(), strict=True):
                truth = truth + 2 / 30 * advantage * scores[listed.index(response)] / 3
    assert len(np.unique(found.rewards)) == 2
    np.testing.assert_allclose(tiny.vector(found.gradient), truth, rtol=0, atol=1e-12)


def test_groups_are_drawn_as_the_probabilities_say():
    """Frequencies of all 40 responses, by chi-squared within 4 standard deviations."""
    world = gradients.make_world(
        jnp.asarray(PROMPTS),
        verify=verify,
        estimator=estimators.get("maxpo"),
        group_size=4000,
        prompts_per_update=6,
        response_length=tiny.LENGTH,
    )
    drawn = jax.tree.map(lambda leaf: leaf[0], world.draw(jax.random.key(2), 1))
    policy = tiny.policy("float32")
    responses = np.asarray(
        sample_groups(policy, jnp.asarray(PROMPTS)[drawn.prompts], drawn.uniforms)
    )
    listed, probs = tiny.responses(), probabilities(policy)
    place = tiny.NUM_TOKENS ** np.arange(tiny.LENGTH)
    statistic, freedom = 0.0, 0
    for row, prompt in enumerate(np.asarray(drawn.prompts)):
        counts = np.sum((responses[row] @ place)[:, None] == listed @ place, axis=0)
        expected = probs[prompt] * counts.sum()
        statistic += np.sum((counts - expected) ** 2 / expected)
        freedom += len(listed) - 1
    assert set(np.asarray(drawn.prompts)) == {0, 1, 2}
    assert abs(statistic - freedom) < 4 * np.sqrt(2 * freedom)


def test_exact_pass_at_256_is_within_the_interval_of_its_unbiased_estimate():
    """The estimate from 2048 responses to each prompt, 20 times over."""
    policy = tiny.policy("float32")
    closest = np.argmin(np.abs(probabilities(policy) - 1 / 300), axis=1)
    rare = Answers(np.arange(3), tiny.responses()[closest])
    truth = float(exact.max_at_k(policy, PROMPTS, rare, 256))
    uniforms = jax.random.uniform(jax.random.key(1), (3, 20 * 2048, tiny.LENGTH))
    responses = sample_groups(policy, jnp.asarray(PROMPTS), uniforms)
    right = jnp.all(responses == jnp.asarray(rare.tokens)[:, None], axis=-1)
    rewards = right.reshape(3, 20, 2048).astype(jnp.float32)
    found = np.asarray(estimators.expected_max_at_k(rewards, 256), float).mean(axis=0)
    assert 0.1 < truth < 0.9
    assert abs(found.mean() - truth) < 4 * found.std(ddof=1) / np.sqrt(found.size)


def test_a_policy_of_tokens_is_trained_by_the_loop_of_every_world():
    """Where one response to each prompt pays, ascent finds it."""
    world = gradients.make_world(
        jnp.asarray(PROMPTS),
        verify=lambda prompt, response: response[0] == prompt[0],
        estimator=estimators.get("rloo"),
        group_size=8,
        prompts_per_update=4,
        response_length=tiny.LENGTH,
    )
    _, rewards = training.train(
        jax.random.key(0),
        tiny.policy("float32"),
        jnp.full(100, 1),
        0.02,
        world=world,
        optimizer=training.OPTIMIZERS["adam"],
        record=lambda window: jnp.mean(window.estimates.rewards),
        updates_per_record=20,
    )
    assert rewards[0] < 0.6
    assert rewards[-1] > 0.95
