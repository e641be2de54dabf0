"""Random keys by name: what is averaged as independent shares no draws, what is paired does."""

import hashlib

import jax


def key_for(seed: int | jax.Array, *names: str) -> jax.Array:
    """The key of a seed for what the names say.

    Args:
      seed: [] integer, which may be traced.
      names: say what is drawn; other names give an independent key.

    Returns:
      A typed random key.

    Example:
      >>> bool((key_for(0, "bandit", "gaussian") == key_for(0, "bandit", "gaussian")).all())
      True
      >>> bool((key_for(0, "bandit") == key_for(0, "draws")).all())
      False
    """
    key = jax.random.key(seed)
    for name in names:
        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
        key = jax.random.fold_in(key, number)
    return key
