"""Keys by name: the same for the same names, independent for others, traced or not."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.keys import key_for


def data(key):
    return np.asarray(jax.random.key_data(key)).tolist()


def test_every_seed_and_name_has_a_key_of_its_own():
    names = [(), ("a",), ("b",), ("a", "b"), ("b", "a"), ("ab",)]
    keys = [data(key_for(seed, *some)) for seed in (0, 1) for some in names]
    assert len({tuple(key) for key in keys}) == 12


def test_a_traced_seed_gives_the_same_key():
    traced = jax.jit(jax.vmap(lambda seed: key_for(seed, "bandit")))(jnp.arange(3))
    assert data(traced) == [data(key_for(seed, "bandit")) for seed in range(3)]


def test_keys_do_not_change_between_versions():
    """Stored results are found again by seed: another way of naming would make them wrong."""
    assert data(key_for(7, "bandit", "gaussian")) == [608902930, 2761408638]
