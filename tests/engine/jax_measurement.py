"""A small measurement that learns a bandit in JAX, for tests of devices, threads and programs."""

import functools

import jax
import jax.numpy as jnp
from jax import Array
from ml_collections import FrozenConfigDict

from experiments.engine.measurement import Measurement, Output
from maxpo_jax import estimators

NUM_ACTIONS, NUM_STEPS = 5, 12
programs: list[int] = []  # traced, by group size


@functools.partial(jax.jit, static_argnames=("group_size",))
def _train(seeds: Array, k: Array, learning_rate: Array, group_size: int) -> dict[str, Array]:
    programs.append(group_size)
    rewards = jnp.linspace(0.0, 1.0, NUM_ACTIONS) ** 2

    def one(seed: Array) -> dict[str, Array]:
        uniform = jax.random.uniform(jax.random.key(seed), (NUM_STEPS, group_size))

        def step(logits: Array, uniform: Array) -> tuple[Array, Array]:
            below = uniform[:, None] > jnp.cumsum(jax.nn.softmax(logits))[None, :-1]
            actions = below.sum(axis=-1)
            advantages = estimators.get("maxpo")(rewards[actions], k)
            score = jax.nn.one_hot(actions, NUM_ACTIONS) - jax.nn.softmax(logits)[None, :]
            logits = logits + learning_rate * (advantages @ score)
            return logits, jax.nn.softmax(logits) @ rewards

        logits, curve = jax.lax.scan(step, jnp.zeros(NUM_ACTIONS), uniform)
        return {"curve": curve, "best": jax.nn.softmax(logits).max()}

    return jax.vmap(one)(seeds)


def compute(run: FrozenConfigDict, seeds: Array) -> dict[str, Array]:
    traced = jnp.asarray(run.k), jnp.asarray(run.learning_rate)
    return _train(jnp.asarray(seeds), *traced, run.group_size)


MEASUREMENT = Measurement(
    fields={"seed": 0, "k": 2, "learning_rate": 0.5, "group_size": 8},
    outputs={"curve": Output("mean reward", dims=("step",)), "best": Output("largest probability")},
    compute=compute,
    coordinates=lambda run: {"step": range(NUM_STEPS)},
    traced=("k", "learning_rate"),
)
