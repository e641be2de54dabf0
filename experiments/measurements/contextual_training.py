"""Training on many prompts with 0/1 rewards: exact success probabilities, and pass@k over prompts.

`prompts_seed` draws the prompts, the seed the groups: runs that differ in estimator, K or learning
rate share both.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import FrozenConfigDict

from experiments.common.estimator_spec import resolve
from experiments.common.keys import key_for
from experiments.engine.measurement import Measurement, Output
from experiments.measurements import _common
from experiments.measurements._common import EVALUATION_KS
from maxpo_jax import objectives, training
from maxpo_jax.bandits import contextual
from maxpo_jax.bandits.contextual import ContextualBandit
from maxpo_jax.estimators import Estimator

POLICIES = ("table", "shared")
STATIC = ("estimator", "optimizer", "group_size", "num_updates", "updates_per_record")


def compute(run: FrozenConfigDict, seeds: np.ndarray) -> Mapping[str, Any]:
    """Outputs of the runs of one setting."""
    return _train(
        seeds,
        make_prompts(run),
        np.int32(run.k),
        np.float32(run.learning_rate),
        estimator=resolve(run.estimator, k=run.k),
        optimizer=run.optimizer,
        group_size=run.group_size,
        num_updates=run.num_updates,
        updates_per_record=run.updates_per_record,
    )


def make_prompts(run: FrozenConfigDict) -> ContextualBandit:
    """The prompts, which all seeds share."""
    return contextual.make_contextual_bandit(
        key_for(run.prompts_seed, "prompts"),
        _success_probs(run),
        run.num_answers,
        run.rank if run.policy == "shared" else None,
        run.num_right,
    )


def _success_probs(run: FrozenConfigDict) -> jax.Array:
    return contextual.graded_success_probs(run.num_prompts, run.hardest, run.easiest)


@functools.partial(jax.jit, static_argnames=STATIC)
def _train(
    seeds: jax.Array,
    bandit: ContextualBandit,
    k: jax.Array,
    learning_rate: jax.Array,
    *,
    estimator: Estimator,
    optimizer: str,
    group_size: int,
    num_updates: int,
    updates_per_record: int,
) -> dict[str, jax.Array]:
    """Outputs [seeds, ...]."""
    weights = contextual.initial_weights(bandit)
    base = contextual.success_probabilities(bandit, weights)

    def value(weights: jax.Array) -> jax.Array:
        probs = contextual.success_probabilities(bandit, weights)
        return jnp.mean(objectives.pass_at_k(probs, k))

    def one(seed: jax.Array) -> dict[str, jax.Array]:
        trained, values = training.train(
            key_for(seed, "contextual_training"),
            weights,
            jnp.broadcast_to(k, (num_updates,)),
            learning_rate,
            world=contextual.make_world(bandit, estimator=estimator, group_size=group_size),
            optimizer=training.OPTIMIZERS[optimizer],
            record=lambda window: value(window.params),
            updates_per_record=updates_per_record,
        )
        probs = contextual.success_probabilities(bandit, trained)
        pass_at_ks = jax.vmap(objectives.pass_at_k, in_axes=(None, 0))
        return {
            "J": jnp.mean(pass_at_ks(probs, jnp.array(EVALUATION_KS)), axis=1),
            "max_at_k": jnp.append(value(weights), values),
            "success_prob": probs,
            "base_success_prob": base,
        }

    return jax.vmap(one)(seeds)


def coordinates(run: FrozenConfigDict) -> dict[str, np.ndarray]:
    """The k of evaluation, the prompts from the hardest to the easiest, and the updates."""
    return {
        "evaluation_k": _common.evaluation_ks(),
        "prompt": np.arange(run.num_prompts),
        "update": np.arange(0, run.num_updates + 1, run.updates_per_record),
    }


def refuse(run: FrozenConfigDict) -> str:
    """Why a run makes no sense."""
    return _common.first(
        _common.refuse_unknown("policy", run.policy, POLICIES),
        _common.refuse_below(run, 1, "num_prompts", "rank"),
        _common.refuse_below(run, 2, "num_answers"),
        ""
        if 1 <= run.num_right < run.num_answers
        else f"num_right is {run.num_right}; at least one answer must be right and one wrong",
        ""
        if 0 < run.hardest < run.easiest < 1
        else f"hardest is {run.hardest} and easiest {run.easiest}; success probabilities must "
        "satisfy 0 < hardest < easiest < 1",
        _common.refuse_training(run, updates_per_record=run.updates_per_record),
        _common.refuse_estimator(run, binary=True),
    )


MEASUREMENT = Measurement(
    fields={
        "seed": 0,
        "prompts_seed": 0,
        "policy": "table",
        "rank": 16,
        "num_prompts": 96,
        "num_answers": 32,
        "num_right": 1,
        "hardest": 1e-4,
        "easiest": 0.5,
        "group_size": 16,
        "estimator": "maxpo",
        "k": 8,
        "optimizer": "sgd",
        "learning_rate": 0.3,
        "num_updates": 200,
        "updates_per_record": 20,  # all that is drawn for them lies in memory at once
    },
    outputs={
        "J": Output("exact pass@k, mean over prompts", dims=("evaluation_k",)),
        "max_at_k": Output("exact pass@K, mean over prompts", dims=("update",)),
        "success_prob": Output("exact success probability of one try", dims=("prompt",)),
        "base_success_prob": Output(
            "success probability of one try of the base policy", "1", ("prompt",), None
        ),
    },
    compute=compute,
    coordinates=coordinates,
    refuse=refuse,
    traced=("prompts_seed", "hardest", "easiest", "k", "learning_rate"),
    smoke={
        "num_prompts": 24,
        "num_answers": 8,
        "rank": 4,
        "num_updates": 30,
        "updates_per_record": 10,
    },
)
