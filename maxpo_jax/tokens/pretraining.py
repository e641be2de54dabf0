"""Base policies: supervised learning from imperfect demonstrations.

A teacher who is right half of the time, and whose hand then slips here and there, leaves a policy
that seldom succeeds and still finds most answers within some hundred tries: like a language model
before reinforcement learning.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from maxpo_jax.tokens import families, vocabulary
from maxpo_jax.tokens import policy as policies
from maxpo_jax.tokens.families import Answers
from maxpo_jax.tokens.policy import Policy

PEAK_LEARNING_RATE = 3e-3
WARM_UP_SHARE = 1 / 30
GRADIENT_NORM = 1.0
PROMPTS_PER_UPDATE = 64

_OPERATORS = (vocabulary.PLUS, vocabulary.MINUS, vocabulary.TIMES)
_CHOICES = (vocabulary.OUT, vocabulary.IN)


def demonstrations(
    rng: np.random.Generator,
    prompts: np.ndarray,
    answers: Answers,
    *,
    share_right: float,
    noise: float,
) -> np.ndarray:
    """One answer to each prompt, as an imperfect teacher gives it.

    It is a right one with some probability, else any well-formed one; then each token is replaced
    with some probability by a random one of its kind: a number by one of the prompt's, an operator
    by an operator, in or out by either.

    Args:
      rng: the source of randomness.
      prompts: [num_prompts, PROMPT_LENGTH] the prompts.
      answers: their right answers, by `families.right_answers`.
      share_right: how likely a right one is before the noise, in [0, 1].
      noise: how likely a token is replaced, in [0, 1].

    Returns:
      [num_prompts, RESPONSE_LENGTH] the answers.

    Example:
      >>> prompts = np.array([[106, 105, 6, 5, 4, 3, 2, 1]])
      >>> found = demonstrations(
      ...     np.random.default_rng(3), prompts, families.right_answers(prompts),
      ...     share_right=1.0, noise=0.2)
      >>> vocabulary.spell(found[0])
      '1 4 3 4 1 6'
    """
    row = np.arange(len(prompts))
    first, count = np.searchsorted(answers.prompt, row), np.bincount(answers.prompt)
    right = answers.tokens[first + (rng.random(len(row)) * count).astype(int)]
    is_right = rng.random((len(row), 1)) < share_right
    tokens = np.where(is_right, right, families.well_formed_answers(rng, prompts))
    replaced = rng.random(tokens.shape) < noise
    return np.where(replaced, _of_its_kind(rng, prompts, tokens), tokens)


def _of_its_kind(rng: np.random.Generator, prompts: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """A random token of the kind of each."""
    num_numbers = np.sum(prompts[:, 2:] != vocabulary.PADDING, axis=1, keepdims=True)
    slots = 2 + (rng.random(tokens.shape) * num_numbers).astype(int)
    kinds = [
        (tokens >= 1) & (tokens <= vocabulary.LARGEST_NUMBER),
        np.isin(tokens, _OPERATORS),
        np.isin(tokens, _CHOICES),
    ]
    others = [
        np.take_along_axis(prompts, slots, axis=1),
        rng.choice(_OPERATORS, size=tokens.shape),
        rng.choice(_CHOICES, size=tokens.shape),
    ]
    return np.select(kinds, others, tokens)


@functools.partial(jax.jit, static_argnames="num_updates")
def imitate(
    key: Array, policy: Policy, prompts: Array, answers: Array, *, num_updates: int
) -> tuple[Policy, Array]:
    """Maximum likelihood by AdamW: a warm-up, a cosine to zero, gradients clipped to norm 1.

    Args:
      key: a typed random key, which chooses the demonstrations of each update; it is consumed.
      policy: the policy at the beginning.
      prompts: [num_prompts, prompt_length] prompts.
      answers: [num_prompts, num_answers, response_length] demonstrations; an update takes
        those of `PROMPTS_PER_UPDATE` prompts.
      num_updates: how many. Static.

    Returns:
      The policy, and the loss of each update [num_updates], in nats a response.

    Example:
      >>> policy = policies.initial_policy(
      ...     jax.random.key(0), vocabulary_size=4, prompt_length=2, response_length=3, width=8)
      >>> prompts, answers = jnp.array([[1, 2]]), jnp.array([[[3, 1, 0]]])
      >>> learn = functools.partial(imitate, num_updates=100)
      >>> _, losses = jax.eval_shape(learn, jax.random.key(0), policy, prompts, answers)
      >>> losses.shape
      (100,)
    """
    warm_up = max(1, round(WARM_UP_SHARE * num_updates))
    rate = optax.warmup_cosine_decay_schedule(0.0, PEAK_LEARNING_RATE, warm_up, num_updates)
    optimizer = optax.chain(optax.clip_by_global_norm(GRADIENT_NORM), optax.adamw(rate))

    def loss(policy: Policy, prompts: Array, answers: Array) -> Array:
        log_probs = jax.vmap(policies.group_log_probs, in_axes=(None, 0, 0))
        return -jnp.mean(jnp.sum(log_probs(policy, prompts, answers), axis=-1))

    def update(carry: tuple, number: Array) -> tuple[tuple, Array]:
        policy, state = carry
        which = jax.random.randint(
            jax.random.fold_in(key, number), (PROMPTS_PER_UPDATE,), 0, prompts.shape[0]
        )
        value, gradient = jax.value_and_grad(loss)(policy, prompts[which], answers[which])
        with jax.numpy_dtype_promotion("standard"):  # optax relies on it
            step, state = optimizer.update(gradient, state, policy)
            policy = optax.apply_updates(policy, step)
        return (policy, state), value

    start = (policy, optimizer.init(policy))
    (policy, _), losses = jax.lax.scan(update, start, jnp.arange(num_updates))
    return policy, losses
