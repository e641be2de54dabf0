"""The softmax policy: probabilities, entropy, and draws by inversion."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxpo_jax.bandits import policy as policies


def test_draws_follow_the_probabilities():
    probs = policies.probabilities(jnp.array([0.0, 1.0, -2.0, 0.5, -jnp.inf]))
    draws = 200_000
    actions = policies.sample(jax.random.key(3), probs, (draws,))
    observed = np.bincount(actions, minlength=5) / draws
    standard_error = np.sqrt(np.asarray(probs) * (1 - np.asarray(probs)) / draws)
    assert np.all(np.abs(observed - np.asarray(probs)) <= 4 * standard_error)


@pytest.mark.parametrize("num_actions", [1, 2, 3, 4096])
def test_impossible_actions_are_never_drawn(num_actions):
    probs = jnp.where(jnp.arange(num_actions) % 3 == 0, 1.0, 0.0)
    actions = np.asarray(policies.sample(jax.random.key(0), probs / probs.sum(), (50_000,)))
    assert actions.dtype == np.int32
    assert np.all(actions % 3 == 0)


def test_entropy_of_known_policies():
    np.testing.assert_allclose(policies.entropy(jnp.zeros((2, 8))), np.log(8), rtol=1e-6)
    assert policies.entropy(jnp.array([100.0, 0.0])) < 1e-6
