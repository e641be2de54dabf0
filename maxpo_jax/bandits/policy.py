"""The softmax policy over a finite set of actions."""

import jax
import jax.numpy as jnp


def probabilities(logits: jax.Array) -> jax.Array:
    r"""Action probabilities of a softmax policy.

    .. math:: \pi_a = e^{\theta_a} / \sum_b e^{\theta_b}

    Args:
      logits: [..., n] theta.

    Returns:
      [..., n] pi.

    Example:
      >>> probabilities(jnp.zeros(4)).tolist()
      [0.25, 0.25, 0.25, 0.25]
    """
    return jax.nn.softmax(logits, axis=-1)


def entropy(logits: jax.Array) -> jax.Array:
    r"""Entropy of a softmax policy, in nats.

    .. math:: -\sum_a \pi_a \log \pi_a

    Args:
      logits: [..., n] theta.

    Returns:
      [...] entropies between 0 and log n.

    Example:
      >>> print(entropy(jnp.zeros(4)).round(4))
      1.3863
    """
    return -jnp.sum(probabilities(logits) * jax.nn.log_softmax(logits, axis=-1), axis=-1)


def sample(key: jax.Array, probs: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Independent actions by inversion of the cumulative distribution, O(log n) for each.

    The uniform number behind a draw has 23 bits: an action's probability is met to about 1e-7,
    absolutely. An action of probability zero is never drawn.

    Args:
      key: a typed random key; it is consumed.
      probs: [n] probabilities.
      shape: shape of the draws. Static.

    Returns:
      int32 actions of the given shape.

    Example:
      >>> sample(jax.random.key(0), jnp.array([0.0, 1.0, 0.0]), (3,)).tolist()
      [1, 1, 1]
    """
    return choose(jax.random.uniform(key, shape, probs.dtype), probs)


def choose(uniforms: jax.Array, probs: jax.Array) -> jax.Array:
    """The actions that uniform numbers stand for, by inversion of the cumulative distribution.

    Args:
      uniforms: independent uniform numbers in [0, 1), of any shape.
      probs: [n] probabilities.

    Returns:
      int32 actions of the shape of `uniforms`.

    Example:
      >>> choose(jnp.array([0.1, 0.6]), jnp.array([0.5, 0.5])).tolist()
      [0, 1]
    """
    cumulative = jnp.cumsum(probs)
    # The product may round up to the total, and what lies there has no probability left.
    last = jnp.searchsorted(cumulative, cumulative[-1], side="left")
    below = uniforms * cumulative[-1]
    found = jnp.searchsorted(cumulative, below, side="right", method="scan_unrolled")
    return jnp.minimum(found, last).astype(jnp.int32)
