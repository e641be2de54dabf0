"""Reinforcement learning of a token policy from a stored base policy, with exact pass@k on the way.

The seed draws prompts and responses, `base_seed` names the base policy: runs that differ in
estimator, K or learning rate share both. K moves in a line from `k` to `final_k` where that is not
0. Base policies are runs of `token_pretraining`.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import FrozenConfigDict

from experiments.common.estimator_spec import resolve
from experiments.common.keys import key_for
from experiments.engine.measurement import Measurement, Output, StoredRun
from experiments.measurements import _common, _tokens, token_pretraining
from experiments.measurements.token_pretraining import mean_pass_at_ks, of_prompts
from maxpo_jax import training
from maxpo_jax.estimators import Estimator
from maxpo_jax.tokens import gradients
from maxpo_jax.tokens.gradients import Randomness
from maxpo_jax.tokens.policy import Policy
from maxpo_jax.tokens.verifier import verify
from maxpo_jax.tokens.vocabulary import RESPONSE_LENGTH
from maxpo_jax.training import Window, World

IN_ONE_PROGRAM = ("maxpo", "ei", "pkpo_sloo", "rloo", "grpo", "pass_at_k_training_analytic")
"""Estimators that share a compiled program; any other has one of its own."""

BASE = "base_"
BASE_FIELDS = ("seed", "families", "share_right", "noise", "num_updates")
"""Fields of the base policy, here with `BASE` before their names; it shares all others."""

STATIC = (
    "estimators",
    "optimizer",
    "group_size",
    "prompts_per_update",
    "num_updates",
    "updates_per_record",
    "variance_groups",
)


def starts_from(run: FrozenConfigDict) -> StoredRun:
    """The base policy of a run."""
    shared = {name: run[name] for name in (*_tokens.PROMPT_FIELDS, *_tokens.POLICY_FIELDS)}
    own = {name: run[BASE + name] for name in BASE_FIELDS}
    return StoredRun("token_pretraining", shared | own)


def compute(
    run: FrozenConfigDict, seeds: np.ndarray, base: Mapping[str, np.ndarray]
) -> Mapping[str, Any]:
    """Outputs of the runs of one setting."""
    shared = run.estimator in IN_ONE_PROGRAM
    names = IN_ONE_PROGRAM if shared else (run.estimator,)
    tasks = _tokens.tasks_of(run)
    policies, curves = _train(
        seeds,
        _tokens.from_vector(base["parameters"], run),
        tasks.train,
        _schedule(run),
        np.float32(run.learning_rate),
        np.int32(names.index(run.estimator)),
        estimators=tuple(resolve(name, k=run.k) for name in names),
        **{name: run[name] for name in STATIC if name != "estimators"},
    )
    after = _of_prompts(policies, tasks)
    found = dict(curves) | {"J": _mean_pass_at_ks(after[0][:, -1])}
    tested = [_tokens.family_names(run.base_families).index(name) for name in families_of(run)]
    for name, values in zip(("success_prob", "repeat_prob"), after, strict=True):
        at_base = base[name][tested]
        before = np.broadcast_to(at_base, (len(seeds), 1, *at_base.shape))
        trained = np.reshape(values, (len(seeds), -1, *at_base.shape))
        found[name] = np.concatenate([before, trained], axis=1)
    return found


# Apart from training, whose program then serves all families of tasks.
_of_prompts = jax.jit(
    lambda policies, tasks: jax.lax.map(
        lambda of_run: jax.lax.map(lambda policy: of_prompts(policy, tasks), of_run), policies
    )
)
_mean_pass_at_ks = jax.jit(jax.vmap(mean_pass_at_ks))


def families_of(run: FrozenConfigDict) -> list[str]:
    """The families of a run."""
    return _tokens.family_names(run.families)


def _schedule(run: FrozenConfigDict) -> np.ndarray:
    """K of each update."""
    last = run.final_k or run.k
    return np.round(np.linspace(run.k, last, run.num_updates)).astype(np.int32)


@functools.partial(jax.jit, static_argnames=STATIC)
def _train(
    seeds: jax.Array,
    base: Policy,
    prompts: jax.Array,
    ks: jax.Array,
    learning_rate: jax.Array,
    which: jax.Array,
    *,
    estimators: tuple[Estimator, ...],
    optimizer: str,
    group_size: int,
    prompts_per_update: int,
    num_updates: int,
    updates_per_record: int,
    variance_groups: int,
) -> tuple[Policy, dict[str, jax.Array]]:
    """Policies and curves [seeds, window, ...]."""
    world = gradients.make_world(
        jnp.asarray(prompts),
        verify=verify,
        estimator=_chosen(estimators, which),
        group_size=group_size,
        prompts_per_update=prompts_per_update,
        response_length=RESPONSE_LENGTH,
    )

    def record(window: Window) -> tuple[Policy, dict[str, jax.Array]]:
        unknown = jnp.full((), jnp.nan)
        # The estimate of an update is the mean over its prompts: with these held fixed, its
        # variance is that of the estimate at a prompt, mean over prompts, over their number.
        variance = prompts_per_update * training.total_variance(window.extra.gradient)
        is_adam = optimizer == "adam"
        return window.params, {
            "reward": jnp.mean(window.estimates.rewards),
            "adam_variance": training.adam_variance_proxy(window.optimizer_state)
            if is_adam
            else unknown,
            "gradient_variance": variance if variance_groups else unknown,
        }

    def one(seed: jax.Array) -> tuple[Policy, dict[str, jax.Array]]:
        _, records = training.train(
            key_for(seed, "token_training"),
            base,
            ks,
            learning_rate,
            world=_with_same_prompts(world, updates_per_record),
            optimizer=training.OPTIMIZERS[optimizer],
            record=record,
            updates_per_record=updates_per_record,
            extra_groups=variance_groups,
        )
        return records

    # One run after the other: a batch of responses fills the cores, and under `vmap` the choice
    # between estimators would take every one of them.
    return jax.lax.map(one, seeds)


def _with_same_prompts(world: World, num_updates: int) -> World:
    """The world in which all groups of a draw after those of the updates have the same prompts."""

    def draw(key: jax.Array, n: int) -> Randomness:
        drawn = world.draw(key, n)
        row = jnp.minimum(jnp.arange(n), num_updates)
        return drawn._replace(prompts=drawn.prompts[row])

    return World(draw, world.estimate)


def _chosen(estimators: tuple[Estimator, ...], which: jax.Array) -> Estimator:
    """One of several estimators, by a number that may be traced."""
    if len(estimators) == 1:
        return estimators[0]

    def function(rewards: jax.Array, k: jax.Array) -> jax.Array:
        return jax.lax.switch(which, estimators, rewards, k)

    return dataclasses.replace(estimators[0], function=function)


def coordinates(run: FrozenConfigDict) -> dict[str, np.ndarray]:
    """The k of evaluation, families, prompts, and the updates that entries of curves follow."""
    after = np.arange(run.updates_per_record, run.num_updates + 1, run.updates_per_record)
    return {
        "evaluation_k": _tokens.evaluation_ks(),
        "family": np.array(families_of(run)),
        "prompt": np.arange(run.num_test),
        "update": np.append(0, after),
        "window": after,
    }


def refuse(run: FrozenConfigDict) -> str:
    """Why a run makes no sense."""
    unknown = [
        name for name in families_of(run) if name not in _tokens.family_names(run.base_families)
    ]
    base = FrozenConfigDict({**token_pretraining.MEASUREMENT.fields, **starts_from(run).fields})
    return _common.first(
        _tokens.refuse_families("families", run.families),
        token_pretraining.refuse(base),
        f"families has {unknown[0]}, which the base policy does not know: add it to base_families"
        if unknown
        else "",
        _common.refuse_below(run, 1, "prompts_per_update"),
        _common.refuse_training(run, updates_per_record=run.updates_per_record),
        ""
        if run.variance_groups == 0 or 2 <= run.variance_groups <= run.updates_per_record
        else f"variance_groups is {run.variance_groups}; it must be 0, or 2 to updates_per_record, "
        f"which is {run.updates_per_record}",
        _refuse_k(run),
    )


def _refuse_k(run: FrozenConfigDict) -> str:
    """Why the estimator is refused at K, or at the last one."""
    reason = _common.refuse_estimator(run, binary=True)
    if reason or not run.final_k:
        return reason
    if not resolve(run.estimator).traced_k:
        return f"estimator {run.estimator} needs K as a Python int, so it cannot be annealed"
    return _common.refuse_estimator(run, binary=True, k=run.final_k)


CURVE = ("window",)

MEASUREMENT = Measurement(
    fields={
        "seed": 0,
        "families": "sort+pair+countdown3+subset+countdown4",
        **{BASE + name: token_pretraining.MEASUREMENT.fields[name] for name in BASE_FIELDS},
        **_tokens.PROMPT_FIELDS,
        **_tokens.POLICY_FIELDS,
        "prompts_per_update": 32,
        "group_size": 16,
        "estimator": "maxpo",
        "k": 8,
        "final_k": 0,
        "optimizer": "adam",
        "learning_rate": 3e-4,
        "num_updates": 300,
        "updates_per_record": 50,
        "variance_groups": 0,
    },
    outputs={
        "J": Output("exact pass@k, mean over prompts", dims=("evaluation_k",)),
        "success_prob": Output(
            "exact success probability of one try", dims=("update", "family", "prompt")
        ),
        "repeat_prob": Output(
            "exact probability that two right responses are the same",
            "1",
            ("update", "family", "prompt"),
            None,
        ),
        "reward": Output("share of right responses while training", dims=CURVE),
        "adam_variance": Output(
            "variance of the gradient estimate by Adam's moments", "1", CURVE, False
        ),
        "gradient_variance": Output(
            "trace of the covariance of the gradient estimate at a prompt", "1", CURVE, False
        ),
    },
    compute=compute,
    coordinates=coordinates,
    refuse=refuse,
    starts_from=starts_from,
    traced=(
        "estimator",
        "k",
        "final_k",
        "learning_rate",
        *(BASE + name for name in BASE_FIELDS),
    ),
    seeds_per_chunk=1,
    smoke={
        "num_train": 60,
        "num_test": 4,
        "width": 16,
        "num_layers": 1,
        "base_num_updates": 100,
        "prompts_per_update": 4,
        "num_updates": 10,
        "updates_per_record": 5,
    },
)
