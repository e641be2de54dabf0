"""The guard rails of conftest.py are really on."""

import jax
import jax.numpy as jnp
import pytest


def test_rank_promotion_raises():
    with pytest.raises(ValueError, match="rank"):
        _ = jnp.zeros((2, 3)) + jnp.zeros(3)


def test_dtype_promotion_raises():
    with pytest.raises(jax.dtypes.TypePromotionError):
        _ = jnp.zeros(3, jnp.float32) + jnp.zeros(3, jnp.int32)


def test_key_reuse_raises():
    key = jax.random.key(0)
    jax.random.normal(key)
    with pytest.raises(jax.errors.KeyReuseError):
        jax.random.normal(key)


def test_warnings_are_errors():
    with pytest.raises(UserWarning, match="as an error"):
        __import__("warnings").warn("as an error", stacklevel=1)
