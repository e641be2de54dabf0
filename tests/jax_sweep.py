"""A small sweepable experiment that learns a bandit in JAX, for tests of devices and processes."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import ConfigDict

from experiments.sweeps.sweepable import Metric, Sweepable
from maxpo_jax import estimators

GROUP_SIZE, NUM_ACTIONS, NUM_STEPS = 8, 5, 12


def get_config(mode: str = "full") -> ConfigDict:
    return ConfigDict({"k": 2, "learning_rate": 0.5, "seed": 0, "estimator": "maxpo"})


@jax.jit
def _train(traced: Mapping[str, Array]) -> dict[str, Array]:
    rewards = jnp.linspace(0.0, 1.0, NUM_ACTIONS) ** 2

    def one(run: Mapping[str, Array]) -> dict[str, Array]:
        def step(logits: Array, key: Array) -> tuple[Array, Array]:
            actions = jax.random.categorical(key, logits, shape=(GROUP_SIZE,))
            advantages = estimators.get("maxpo")(rewards[actions], run["k"])
            score = jax.nn.one_hot(actions, NUM_ACTIONS) - jax.nn.softmax(logits)[None, :]
            logits = logits + run["learning_rate"] * (advantages @ score)
            return logits, jax.nn.softmax(logits) @ rewards

        keys = jax.random.split(jax.random.key(run["seed"]), NUM_STEPS)
        logits, curve = jax.lax.scan(step, jnp.zeros(NUM_ACTIONS), keys)
        return {"curve": curve, "best": jax.nn.softmax(logits).max()}

    return jax.vmap(one)(traced)


SWEEP = Sweepable(
    traced=("k", "learning_rate", "seed"),
    metrics={"curve": Metric("mean reward", dims=("step",)), "best": Metric("largest probability")},
    compute=lambda config, traced: _train(dict(traced)),
    coordinates=lambda config: {"step": range(NUM_STEPS)},
)
