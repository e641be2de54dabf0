"""The policy: cached against all at once, by NumPy, and nothing after the end."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxpo_jax.tokens import policy as policies
from maxpo_jax.tokens import vocabulary
from tests.tokens import tiny

SIZES = {"vocabulary_size": 20, "prompt_length": 8, "response_length": 8, "width": 24}


def sampled(dtype):
    """64 responses of a policy of two layers, their log-probabilities from sampling, and again."""
    shapes = jax.eval_shape(
        functools.partial(policies.initial_policy, num_heads=3, **SIZES), jax.random.key(0)
    )
    rng = np.random.default_rng(1)
    policy = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0, 0.3, leaf.shape), dtype), shapes)
    prompt = jnp.asarray(rng.integers(20, size=8))
    uniforms = jnp.asarray(rng.random((64, 8)), dtype)

    @jax.jit
    def both(policy, prompt, uniforms):
        memory = policies.encode(policy, prompt)
        draw = jax.vmap(lambda of_one: policies.sample(policy, memory, of_one))
        responses, log_probs = draw(uniforms)
        return responses, log_probs, policies.group_log_probs(policy, prompt, responses)

    return [np.asarray(x) for x in both(policy, prompt, uniforms)]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-10)])
def test_log_probs_of_sampling_are_those_of_teacher_forcing(dtype, tolerance):
    with jax.enable_x64(dtype == "float64"):
        responses, cached, forced = sampled(dtype)
    np.testing.assert_allclose(cached, forced, rtol=0, atol=tolerance)
    assert cached.dtype == dtype
    assert len(np.unique(responses, axis=0)) > 50
    assert 0 < np.mean(responses[:, -1] == 0) < 1  # some have ended, some have not


def by_numpy(policy, prompt, response):
    """Log-probabilities as the definition says, one position after the other."""
    p = jax.tree.map(np.asarray, policy)
    sequence = np.concatenate([prompt, [0], response[:-1]])
    norm = lambda scale, x: x / np.sqrt(np.mean(x**2) + 1e-6) * scale  # noqa: E731
    states = [p.tokens[token] + p.positions[t] for t, token in enumerate(sequence)]
    for layer in p.layers:
        after = []
        for t in range(len(states)):
            mixed = 0
            for head in range(layer.query.shape[1]):
                query = norm(layer.attention_norm, states[t]) @ layer.query[:, head]
                earlier = [norm(layer.attention_norm, states[s]) for s in range(t + 1)]
                scores = np.array([query @ (e @ layer.key[:, head]) for e in earlier])
                weights = np.exp(scores / np.sqrt(query.size))
                weights /= weights.sum()
                values = [e @ layer.value[:, head] for e in earlier]
                mixed = mixed + (weights @ np.array(values)) @ layer.output[head]
            state = states[t] + mixed
            hidden = np.maximum(norm(layer.mlp_norm, state) @ layer.up, 0)
            after.append(state + hidden @ layer.down)
        states = after
    logits = np.array([norm(p.norm, state) @ p.head for state in states[len(prompt) :]])
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return log_probs[np.arange(len(response)), response]


def test_log_probs_are_those_of_the_definition():
    response = np.array([3, 1, 2])
    with jax.enable_x64(True):
        policy = tiny.policy()
        found = policies.group_log_probs(policy, jnp.asarray(tiny.PROMPT), jnp.asarray([response]))
        np.testing.assert_allclose(
            found[0], by_numpy(policy, tiny.PROMPT, response), rtol=0, atol=1e-12
        )


def test_each_token_is_the_one_that_its_uniform_number_stands_for():
    """The response is drawn by inversion, so probabilities say which intervals it comes from."""
    uniforms = np.random.default_rng(0).random((2000, tiny.LENGTH))
    with jax.enable_x64(True):
        memory = policies.encode(tiny.policy(), jnp.asarray(tiny.PROMPT))
        draw = jax.jit(jax.vmap(lambda u: policies.sample(tiny.policy(), memory, u)[0]))
        found = np.asarray(draw(jnp.asarray(uniforms)))
        listed, probs = tiny.responses(), np.exp(np.asarray(tiny.log_probs(tiny.policy())))
    for response, uniform in zip(found[:200], uniforms[:200], strict=True):
        begins = np.ones(len(listed), bool)
        for t in range(tiny.LENGTH):
            of_token = np.bincount(listed[begins, t], probs[begins], minlength=tiny.NUM_TOKENS)
            edges = np.cumsum(of_token) / of_token.sum()
            assert response[t] == np.searchsorted(edges, uniform[t], side="right")
            begins &= listed[:, t] == response[t]
    assert set(map(tuple, found)) <= set(map(tuple, listed))


def test_nothing_after_the_end_matters():
    """Neither to the log-probabilities nor to their gradient, to the bit."""
    responses = np.array([[3, 0, 0], [3, 0, 2], [3, 0, 1]])
    policy = tiny.policy("float32")

    def total(policy, response):
        return jnp.sum(policies.group_log_probs(policy, jnp.asarray(tiny.PROMPT), response[None]))

    value_and_grad = jax.jit(jax.value_and_grad(total))
    found = [value_and_grad(policy, jnp.asarray(response)) for response in responses]
    for value, gradient in found[1:]:
        assert value == found[0][0]
        np.testing.assert_array_equal(tiny.vector(gradient), tiny.vector(found[0][1]))
    assert policies.is_read(jnp.array([0, 0, 3])).tolist() == [True, False, False]


def test_a_policy_of_another_size_is_refused_in_one_line():
    policy = tiny.policy("float32")
    with pytest.raises(ValueError, match=r"^the policy knows 4 tokens, and the tasks have 112"):
        policies.check_fits(
            policy, vocabulary_size=vocabulary.SIZE, prompt_length=2, response_length=3
        )
    memory = policies.encode(policy, jnp.asarray(tiny.PROMPT))
    with pytest.raises(ValueError, match="a response of 4 tokens is longer than the policy writes"):
        policies.token_log_probs(policy, memory, jnp.zeros(4, int))
    with pytest.raises(ValueError, match="5 heads do not divide a width of 24"):
        policies.initial_policy(jax.random.key(0), num_heads=5, **SIZES)
