r"""A decoder-only transformer that writes a response to a prompt, in plain JAX.

    pi(response | prompt) = prod_t pi(token_t | prompt, tokens before t), up to the first `END`

Learned positions, RMSNorm before attention and before a ReLU MLP of four times the width. The
prompt is encoded once; its keys and values serve all responses to it, in sampling and in training.
Response position t sees the prompt and the t tokens before; the first position is fed `END`.

Plain JAX, because the policy is then what the estimators, optax and `jax.grad` see: a tree of named
arrays and functions of it. flax or equinox would spare some lines of `initial_policy`, ask readers
to know them, and make the library depend on them; their modules work here as well, for a world
needs nothing but parameters and log-probabilities. All functions are of one prompt and one
response: `jax.vmap` makes them functions of batches.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from maxpo_jax.bandits.policy import choose
from maxpo_jax.tokens.vocabulary import END

INITIAL_SCALE = 0.02


class Layer(NamedTuple):
    """Parameters of a layer of width d with h heads.

    Attributes:
      attention_norm: [d] scale of the norm before attention.
      query: [d, h, d / h].
      key: [d, h, d / h].
      value: [d, h, d / h].
      output: [h, d / h, d].
      mlp_norm: [d] scale of the norm before the MLP.
      up: [d, 4 d].
      down: [4 d, d].
    """

    attention_norm: Array
    query: Array
    key: Array
    value: Array
    output: Array
    mlp_norm: Array
    up: Array
    down: Array


class Policy(NamedTuple):
    """Parameters of a policy of width d over a vocabulary of V tokens.

    Attributes:
      tokens: [V, d] embeddings of the tokens.
      positions: [prompt_length + response_length, d] embeddings of the positions.
      layers: the layers.
      norm: [d] scale of the last norm.
      head: [d, V] from the last norm to logits.
    """

    tokens: Array
    positions: Array
    layers: tuple[Layer, ...]
    norm: Array
    head: Array


class Memory(NamedTuple):
    """What a layer remembers of n positions.

    Attributes:
      keys: [n, h, d / h].
      values: [n, h, d / h].
    """

    keys: Array
    values: Array


def initial_policy(
    key: Array,
    *,
    vocabulary_size: int,
    prompt_length: int,
    response_length: int,
    width: int = 64,
    num_layers: int = 2,
    num_heads: int = 4,
) -> Policy:
    """A random policy, close to the uniform one.

    Args:
      key: a typed random key; it is consumed.
      vocabulary_size: V. Static.
      prompt_length: tokens of a prompt. Static.
      response_length: tokens of a response at most. Static.
      width: d. Static.
      num_layers: layers. Static.
      num_heads: heads; they divide the width. Static.

    Returns:
      The `Policy`.

    Raises:
      ValueError: heads that do not divide the width.

    Example:
      >>> policy = jax.eval_shape(lambda key: initial_policy(
      ...     key, vocabulary_size=112, prompt_length=8, response_length=8), jax.random.key(0))
      >>> sum(leaf.size for leaf in jax.tree.leaves(policy))
      113984
    """
    if width % num_heads:
        raise ValueError(
            f"{num_heads} heads do not divide a width of {width}: choose a multiple of num_heads"
        )
    heads = (num_heads, width // num_heads)
    keys = iter(jax.random.split(key, 3 + 6 * num_layers))
    into_residual = INITIAL_SCALE / (2 * num_layers) ** 0.5  # there 2 x num_layers of them add up

    def normal(*shape: int, scale: float = INITIAL_SCALE) -> Array:
        return scale * jax.random.normal(next(keys), shape)

    def layer() -> Layer:
        return Layer(
            attention_norm=jnp.ones(width),
            query=normal(width, *heads),
            key=normal(width, *heads),
            value=normal(width, *heads),
            output=normal(*heads, width, scale=into_residual),
            mlp_norm=jnp.ones(width),
            up=normal(width, 4 * width),
            down=normal(4 * width, width, scale=into_residual),
        )

    return Policy(
        tokens=normal(vocabulary_size, width),
        positions=normal(prompt_length + response_length, width),
        layers=tuple(layer() for _ in range(num_layers)),
        norm=jnp.ones(width),
        head=normal(width, vocabulary_size),
    )


def check_fits(
    policy: Policy, *, vocabulary_size: int, prompt_length: int, response_length: int
) -> None:
    """Refuse a policy of another size than the tasks.

    Args:
      policy: the policy.
      vocabulary_size: V of the tasks.
      prompt_length: tokens of their prompts.
      response_length: tokens of their longest response.

    Raises:
      ValueError: saying which size differs.

    Example:
      >>> policy = initial_policy(
      ...     jax.random.key(0), vocabulary_size=4, prompt_length=2, response_length=3, width=8)
      >>> check_fits(policy, vocabulary_size=4, prompt_length=2, response_length=5)
      Traceback (most recent call last):
      ValueError: the policy has 5 positions, and prompts of 2 with responses of 5 tokens ...
    """
    has, needs = policy.tokens.shape[0], vocabulary_size
    if has != needs:
        raise ValueError(f"the policy knows {has} tokens, and the tasks have {needs}: make another")
    has, needs = policy.positions.shape[0], prompt_length + response_length
    if has != needs:
        raise ValueError(
            f"the policy has {has} positions, and prompts of {prompt_length} with responses of "
            f"{response_length} tokens need {needs}: make another"
        )


def is_read(response: Array) -> Array:
    """Which tokens of a response count: those up to and including the first `END`.

    Args:
      response: [response_length] tokens.

    Returns:
      [response_length] bool.

    Example:
      >>> is_read(jnp.array([7, 0, 3])).tolist()
      [True, True, False]
    """
    ended = jnp.cumsum(response == END)
    return (ended == 0) | ((ended == 1) & (response == END))


def encode(policy: Policy, prompt: Array) -> tuple[Memory, ...]:
    """What the layers remember of a prompt.

    Args:
      policy: the policy.
      prompt: [prompt_length] tokens.

    Returns:
      A `Memory` of the prompt for each layer.

    Example:
      >>> policy = initial_policy(
      ...     jax.random.key(0), vocabulary_size=4, prompt_length=2, response_length=3, width=8)
      >>> [memory.keys.shape for memory in encode(policy, jnp.array([1, 2]))]
      [(2, 4, 2), (2, 4, 2)]
    """
    places = jnp.arange(prompt.shape[0])
    states, memories = policy.tokens[prompt] + policy.positions[places], []
    for layer in policy.layers:
        query, own = _attention_inputs(layer, states)
        memories.append(own)
        states = _after_attention(layer, states, _attend(query, [(own, _causal(places.size))]))
    return tuple(memories)


def token_log_probs(policy: Policy, memory: tuple[Memory, ...], response: Array) -> Array:
    """Log-probability of each token of a response, all positions at once (teacher forcing).

    Args:
      policy: the policy.
      memory: of the prompt, by `encode`.
      response: [response_length] tokens.

    Returns:
      [response_length] log-probabilities; 0 after the first `END`.

    Raises:
      ValueError: a response that is longer than the policy has positions for.

    Example:
      >>> policy = initial_policy(
      ...     jax.random.key(0), vocabulary_size=4, prompt_length=2, response_length=3, width=8)
      >>> memory = encode(policy, jnp.array([1, 2]))
      >>> token_log_probs(policy, memory, jnp.array([3, 0, 1])).round(1).tolist()
      [-1.4, -1.4, 0.0]
    """
    prompt_length, length = memory[0].keys.shape[0], response.shape[0]
    if prompt_length + length > policy.positions.shape[0]:
        raise ValueError(
            f"a response of {length} tokens is longer than the policy writes: it has "
            f"{policy.positions.shape[0] - prompt_length} positions after the prompt"
        )
    before = jnp.concatenate([jnp.full((1,), END, response.dtype), response[:-1]])
    places = prompt_length + jnp.arange(length)
    states = policy.tokens[before] + policy.positions[places]
    everything = jnp.ones((length, prompt_length), bool)
    for layer, of_prompt in zip(policy.layers, memory, strict=True):
        query, own = _attention_inputs(layer, states)
        mixed = _attend(query, [(of_prompt, everything), (own, _causal(length))])
        states = _after_attention(layer, states, mixed)
    of_all = jax.nn.log_softmax(_logits(policy, states), axis=-1)
    chosen = jnp.take_along_axis(of_all, response[:, None], axis=-1)[:, 0]
    return jnp.where(is_read(response), chosen, 0)


def group_log_probs(policy: Policy, prompt: Array, responses: Array) -> Array:
    """Log-probability of each token of a group of responses to one prompt, which is encoded once.

    Args:
      policy: the policy.
      prompt: [prompt_length] tokens.
      responses: [group_size, response_length] tokens.

    Returns:
      [group_size, response_length] log-probabilities; 0 after the first `END`.

    Raises:
      ValueError: as `token_log_probs`.

    Example:
      >>> policy = initial_policy(
      ...     jax.random.key(0), vocabulary_size=4, prompt_length=2, response_length=3, width=8)
      >>> group_log_probs(policy, jnp.array([1, 2]), jnp.array([[3, 0, 1]])).round(1).tolist()
      [[-1.4, -1.4, 0.0]]
    """
    memory = encode(policy, prompt)
    return jax.vmap(lambda response: token_log_probs(policy, memory, response))(responses)


def sample(policy: Policy, memory: tuple[Memory, ...], uniforms: Array) -> tuple[Array, Array]:
    """Draws a response, token by token, remembering the positions before.

    Args:
      policy: the policy.
      memory: of the prompt, by `encode`.
      uniforms: [response_length] independent uniform numbers in [0, 1).

    Returns:
      The response [response_length], which is `END` from its end on, and the log-probability of
      each token [response_length], 0 after the first `END`.

    Example:
      >>> policy = initial_policy(
      ...     jax.random.key(0), vocabulary_size=4, prompt_length=2, response_length=3, width=8)
      >>> memory = encode(policy, jnp.array([1, 2]))
      >>> response, log_probs = sample(policy, memory, jnp.array([0.9, 0.6, 0.1]))
      >>> response.tolist(), log_probs.round(1).tolist()
      ([3, 2, 0], [-1.4, -1.4, -1.4])
    """
    prompt_length, length = memory[0].keys.shape[0], uniforms.shape[0]
    everything = jnp.ones((1, prompt_length), bool)

    def write(carry: tuple, inputs: tuple[Array, Array]) -> tuple[tuple, tuple[Array, Array]]:
        before, has_ended, own = carry
        place, uniform = inputs
        states = (policy.tokens[before] + policy.positions[prompt_length + place])[None]
        so_far = (jnp.arange(length) <= place)[None]
        remembered = []
        for layer, of_prompt, of_response in zip(policy.layers, memory, own, strict=True):
            query, new = _attention_inputs(layer, states)
            longer = jax.tree.map(lambda all_, one: all_.at[place].set(one[0]), of_response, new)
            remembered.append(longer)
            mixed = _attend(query, [(of_prompt, everything), (longer, so_far)])
            states = _after_attention(layer, states, mixed)
        logits = _logits(policy, states)[0]
        token = jnp.where(has_ended, END, choose(uniform, jax.nn.softmax(logits)))
        log_prob = jnp.where(has_ended, 0, jax.nn.log_softmax(logits)[token])
        return (token, has_ended | (token == END), tuple(remembered)), (token, log_prob)

    nothing = tuple(
        jax.tree.map(lambda leaf: jnp.zeros((length, *leaf.shape[1:]), leaf.dtype), of_prompt)
        for of_prompt in memory
    )
    start = (jnp.int32(END), jnp.bool_(False), nothing)
    _, written = jax.lax.scan(write, start, (jnp.arange(length), uniforms))
    return written


def _norm(scale: Array, states: Array) -> Array:
    """RMSNorm."""
    mean_square = jnp.mean(jnp.square(states), axis=-1, keepdims=True)
    return states * jax.lax.rsqrt(mean_square + 1e-6) * scale[None]


def _attention_inputs(layer: Layer, states: Array) -> tuple[Array, Memory]:
    """Queries [n, h, d / h], and what is remembered of the same positions."""
    normed = _norm(layer.attention_norm, states)
    query, key, value = (
        jnp.einsum("nd,dhe->nhe", normed, weights)
        for weights in (layer.query, layer.key, layer.value)
    )
    return query / query.shape[-1] ** 0.5, Memory(key, value)


def _attend(query: Array, remembered: list[tuple[Memory, Array]]) -> Array:
    """Softmax attention [n, h, d / h] over several memories, each with a mask [n, m].

    They stay apart, so that what is shared by many queries is not copied for each.
    """
    scores = [
        jnp.where(mask[None], jnp.einsum("nhe,mhe->hnm", query, memory.keys), -jnp.inf)
        for memory, mask in remembered
    ]
    weights = jax.nn.softmax(jnp.concatenate(scores, axis=-1), axis=-1)
    ends = [sum(score.shape[-1] for score in scores[: i + 1]) for i in range(len(scores) - 1)]
    parts = jnp.split(weights, ends, axis=-1)
    mixed = [
        jnp.einsum("hnm,mhe->nhe", part, memory.values)
        for part, (memory, _) in zip(parts, remembered, strict=True)
    ]
    return sum(mixed[1:], mixed[0])


def _after_attention(layer: Layer, states: Array, mixed: Array) -> Array:
    """The rest of a layer: the output of attention, and the MLP."""
    states = states + jnp.einsum("nhe,hed->nd", mixed, layer.output)
    hidden = jax.nn.relu(_norm(layer.mlp_norm, states) @ layer.up)
    return states + hidden @ layer.down


def _causal(length: int) -> Array:
    return jnp.tril(jnp.ones((length, length), bool))


def _logits(policy: Policy, states: Array) -> Array:
    return _norm(policy.norm, states) @ policy.head
