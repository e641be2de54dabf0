"""A policy so small that everything it can write is listed: 4 tokens, at most 3 of them."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from maxpo_jax.tokens import policy as policies

NUM_TOKENS, LENGTH = 4, 3
PROMPT = np.array([1, 2], np.int32)


@functools.cache
def policy(dtype="float64", seed=0):
    """Far from uniform, so that nothing is right by symmetry."""
    with jax.enable_x64(True):
        shapes = jax.eval_shape(
            functools.partial(
                policies.initial_policy,
                vocabulary_size=NUM_TOKENS,
                prompt_length=PROMPT.size,
                response_length=LENGTH,
                width=8,
                num_layers=1,
                num_heads=2,
            ),
            jax.random.key(0),
        )
        rng = np.random.default_rng(seed)
        return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0, 0.5, leaf.shape), dtype), shapes)


def responses():
    """[40, LENGTH] all responses, which are 0 from their end on."""
    written = itertools.product(range(NUM_TOKENS), repeat=LENGTH)
    return np.array([response for response in written if is_tidy(response)], np.int32)


def is_tidy(response):
    ended = 0 in response
    return not ended or not any(response[response.index(0) :])


def log_probs(params, prompt=PROMPT):
    """[40] log-probabilities of all responses."""
    listed = jnp.asarray(responses())
    return jnp.sum(policies.group_log_probs(params, jnp.asarray(prompt), listed), axis=-1)


def vector(tree):
    """All parameters, or gradients in them, in one float64 vector."""
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)])


@functools.cache
def scores():
    """[40, parameters] gradients of the log-probabilities of all responses to PROMPT."""
    return scores_of(policy(), PROMPT)


def scores_of(params, prompt):
    """[40, parameters] gradients of the log-probabilities of all responses, in float64."""
    with jax.enable_x64(True):
        jacobian = _jacobian(params, jnp.asarray(prompt))
    leaves = [np.asarray(leaf).reshape(len(responses()), -1) for leaf in jax.tree.leaves(jacobian)]
    return np.concatenate(leaves, axis=1)


_jacobian = jax.jit(jax.jacrev(log_probs))
