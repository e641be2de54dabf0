"""Training on a hard bandit: exact J_k of the policy along the way, and the rewards at the end.

The seed draws the groups: runs that differ in estimator, K or learning rate share its numbers.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import FrozenConfigDict

from experiments.common.estimator_spec import resolve
from experiments.common.keys import key_for
from experiments.engine.measurement import Measurement, Output
from experiments.measurements import _common
from experiments.measurements._common import EVALUATION_KS
from maxpo_jax import training
from maxpo_jax.bandits import bandit as bandits
from maxpo_jax.bandits import gradients, policy
from maxpo_jax.bandits.bandit import INSTANCES, Instance
from maxpo_jax.estimators import Estimator

STATIC = ("estimator", "optimizer", "group_size", "num_updates", "updates_per_record", "groups")


class Record(NamedTuple):
    """What is kept of a window of updates; norms are means over the window."""

    logits: jax.Array
    gradient_norm: jax.Array
    adam_proxy: jax.Array
    gradient_variance: jax.Array


def schedule(k: int | jax.Array, anneal: bool | jax.Array, num_updates: int) -> jax.Array:
    """K of each update [num_updates]: constant, or falling in equal steps from K to 1."""
    fallen = jnp.arange(num_updates) * k // num_updates
    return jnp.where(anneal, k - fallen, k)


def compute(run: FrozenConfigDict, seeds: np.ndarray) -> Mapping[str, Any]:
    """Curves of the runs of one setting, and where they end."""
    instance = bandits.make_instance(run.instance, run.num_actions)
    found = _train(
        seeds,
        instance,
        np.int32(run.k),
        np.bool_(run.anneal),
        np.float32(run.learning_rate),
        estimator=resolve(run.estimator, k=run.k),
        optimizer=run.optimizer,
        group_size=run.group_size,
        num_updates=run.num_updates,
        updates_per_record=run.updates_per_record,
        groups=run.variance_groups,
    )
    outcomes = np.append(instance.bandit.rewards, 0)
    same = outcomes[:, None] == possible_rewards(run)
    of_outcomes = np.asarray(found.pop("outcome_probs"))
    return found | {"reward_distribution": of_outcomes @ same.astype(of_outcomes.dtype)}


def possible_rewards(run: FrozenConfigDict) -> np.ndarray:
    """The rewards that a run can meet, ascending; failures pay 0."""
    rewards = bandits.make_instance(run.instance, run.num_actions).bandit.rewards
    return np.unique(np.append(rewards, 0))


@functools.partial(jax.jit, static_argnames=STATIC)
def _train(
    seeds: jax.Array,
    instance: Instance,
    k: jax.Array,
    anneal: jax.Array,
    learning_rate: jax.Array,
    *,
    estimator: Estimator,
    optimizer: str,
    group_size: int,
    num_updates: int,
    updates_per_record: int,
    groups: int,
) -> dict[str, jax.Array]:
    """Outputs [seeds, ...]."""
    world = gradients.make_world(instance.bandit, estimator=estimator, group_size=group_size)

    def record(window: training.Window) -> Record:
        proxy = jnp.full((), jnp.nan)
        if optimizer == "adam":
            proxy = training.adam_variance_proxy(window.optimizer_state)
        return Record(
            logits=window.params,
            gradient_norm=jnp.mean(jnp.linalg.norm(window.estimates.gradient, axis=-1)),
            adam_proxy=proxy,
            gradient_variance=training.total_variance(window.extra.gradient),
        )

    def one(seed: jax.Array) -> dict[str, jax.Array]:
        _, records = training.train(
            key_for(seed, "bandit_training"),
            instance.logits,
            schedule(k, anneal, num_updates),
            learning_rate,
            world=world,
            optimizer=training.OPTIMIZERS[optimizer],
            record=record,
            updates_per_record=updates_per_record,
            extra_groups=groups,
        )
        logits = jnp.concatenate([instance.logits[None], records.logits])
        values = evaluate(instance.bandit, logits, k)
        # Before the first update there was no gradient.
        unknown = jnp.full((1,), jnp.nan)
        of_windows = {
            name: jnp.concatenate([unknown, getattr(records, name)])
            for name in ("gradient_norm", "adam_proxy", "gradient_variance")
        }
        _, at_end = bandits.reward_distribution(instance.bandit, policy.probabilities(logits[-1]))
        entropy = policy.entropy(logits)
        return values | of_windows | {"entropy": entropy, "outcome_probs": at_end}

    return jax.vmap(one)(seeds)


def evaluate(bandit: bandits.Bandit, logits: jax.Array, k: jax.Array) -> dict[str, jax.Array]:
    """Exact J [evaluation_k, update] and max_at_k [update] of policies [update, n]."""
    of_ks = jax.vmap(bandits.policy_value, in_axes=(None, None, 0))
    ks = jnp.append(jnp.array(EVALUATION_KS), k)
    values = jax.vmap(lambda x: of_ks(bandit, policy.probabilities(x), ks), out_axes=1)(logits)
    return {"J": values[:-1], "max_at_k": values[-1]}


def coordinates(run: FrozenConfigDict) -> dict[str, np.ndarray]:
    """The k of evaluation, the updates after which is recorded (0 for before), and the rewards."""
    return {
        "evaluation_k": _common.evaluation_ks(),
        "update": np.arange(0, run.num_updates + 1, run.updates_per_record),
        "reward": possible_rewards(run),
    }


def refuse(run: FrozenConfigDict) -> str:
    """Why a run makes no sense."""
    binary = run.instance in bandits.BINARY_INSTANCES
    return _common.first(
        _common.refuse_unknown("instance", run.instance, INSTANCES),
        _common.refuse_below(run, 2, "num_actions"),
        _common.refuse_training(run, updates_per_record=run.updates_per_record),
        _common.refuse_below(run, 0, "variance_groups"),
        _common.refuse_estimator(run, binary=binary),
        _refuse_annealing(run, binary) if run.anneal else "",
    )


def _refuse_annealing(run: FrozenConfigDict, binary: bool) -> str:
    if not resolve(run.estimator).traced_k:
        return f"estimator {run.estimator} takes one K alone, which cannot be annealed"
    return _common.refuse_estimator(run, binary=binary, k=1)


CURVE = ("update",)

MEASUREMENT = Measurement(
    fields={
        "seed": 0,
        "instance": "needle",
        "num_actions": 64,
        "group_size": 16,
        "estimator": "maxpo",
        "k": 8,
        "anneal": False,
        "optimizer": "sgd",
        "learning_rate": 0.3,
        "num_updates": 600,
        "updates_per_record": 20,
        "variance_groups": 0,
    },
    outputs={
        "max_at_k": Output("exact $J_K$ of the policy", dims=CURVE),
        "J": Output("exact $J_k$ of the policy", dims=("evaluation_k", "update")),
        "entropy": Output("entropy of the policy", "nat", CURVE, None),
        "gradient_norm": Output(
            "norm of the gradient estimate, mean since the last record",
            dims=CURVE,
            larger_is_better=None,
        ),
        "adam_proxy": Output(
            "sum over parameters of v_hat - m_hat^2 of Adam's state",
            dims=CURVE,
            larger_is_better=False,
        ),
        "gradient_variance": Output(
            "trace of the covariance of the gradient estimate", dims=CURVE, larger_is_better=False
        ),
        "reward_distribution": Output(
            "exact probability of each reward of the last policy",
            dims=("reward",),
            larger_is_better=None,
        ),
    },
    compute=compute,
    coordinates=coordinates,
    refuse=refuse,
    traced=("instance", "k", "anneal", "learning_rate"),
    smoke={"num_actions": 18, "num_updates": 40, "updates_per_record": 10},
)
