"""pass@k of many prompts after training with each estimator: the paper's Figures 2, 8 and 9."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from ml_collections import ConfigDict

from experiments import bandit_runs, experiment
from experiments import old_training as training
from experiments.drawings import pass_at_k as drawing
from maxpo_jax import estimators, objectives
from maxpo_jax.bandits import contextual as contexts
from maxpo_jax.bandits.contextual import ContextualBandit

POLICIES = ("table", "shared")


def make_prompts(config: ConfigDict, policy: str) -> ContextualBandit:
    """The prompts of the experiment under one of the two kinds of policy."""
    return contexts.make_contextual_bandit(
        jax.random.key(config.seed),
        contexts.graded_success_probs(config.num_prompts, config.hardest, config.easiest),
        config.num_answers,
        config.rank if policy == "shared" else None,
    )


@functools.partial(jax.jit, static_argnames=("estimator", "group_size"))
def trained_success_probs(
    keys: jax.Array,
    prompts: ContextualBandit,
    ks: jax.Array,
    learning_rates: jax.Array,
    *,
    estimator: str,
    group_size: int,
) -> jax.Array:
    """Success probabilities [learning_rates, seeds, prompts] after training by gradient ascent."""
    draw = functools.partial(
        training.prompts_gradient,
        prompts=prompts,
        estimator=estimators.get(estimator),
        group_size=group_size,
    )

    def run(key: jax.Array, learning_rate: jax.Array) -> jax.Array:
        history = training.train(
            key,
            contexts.initial_weights(prompts),
            ks,
            learning_rate,
            gradient_estimate=draw,
            optimizer=bandit_runs.OPTIMISERS["sgd"],
            updates_per_record=ks.shape[0],
        )
        return contexts.success_probabilities(prompts, history.params[-1])

    return jax.vmap(lambda rate: jax.vmap(lambda key: run(key, rate))(keys))(learning_rates)


def learned(config: ConfigDict, policy: str, estimator: str) -> xr.Dataset:
    """Success probabilities [seed, prompt] after training, at the tuned learning rate."""
    num_seeds = config.num_tuning_seeds + config.num_seeds
    rates = config.table_learning_rates if policy == "table" else config.shared_learning_rates
    probs = trained_success_probs(
        jax.random.split(jax.random.fold_in(jax.random.key(config.seed), 1), num_seeds),
        make_prompts(config, policy),
        jnp.full(config.num_updates, config.k),
        jnp.array(rates),
        estimator=estimator,
        group_size=config.group_size,
    )
    objective = objectives.pass_at_k(probs, config.k)[:, : config.num_tuning_seeds]
    best = int(np.argmax(np.asarray(objective).mean(axis=(1, 2))))
    draws = len(rates) * num_seeds * config.num_updates * config.num_prompts
    return xr.Dataset(
        {
            "success_prob": (
                ("seed", "prompt"),
                np.asarray(probs[best, config.num_tuning_seeds :]),
            ),
            "learning_rate": ((), rates[best]),
        },
        attrs={"gradient_draws": draws},
    )


def parts(config: ConfigDict) -> dict[str, Callable[[], xr.Dataset]]:
    """One part per kind of policy and estimator."""
    bandit_runs.check_estimators(config.estimators, (config.k,), config.group_size)
    for policy in config.policies:
        if policy not in POLICIES:
            raise ValueError(f"policies holds {policy!r}; choose from {', '.join(POLICIES)}")
    if not 0 < config.hardest < config.easiest < 1:
        raise ValueError("success probabilities must satisfy 0 < hardest < easiest < 1")
    return {
        f"{policy},{name}": functools.partial(learned, config, policy, name)
        for policy in config.policies
        for name in config.estimators
    }


def combine(config: ConfigDict, pieces: dict[str, xr.Dataset]) -> xr.Dataset:
    """Success probabilities [policy, estimator, seed, prompt], and those of the base policy."""
    rows = [
        xr.concat(
            [pieces[f"{policy},{name}"] for name in config.estimators],
            dim="estimator",
            combine_attrs="drop",
        )
        for policy in config.policies
    ]
    dataset = xr.concat(rows, dim="policy", combine_attrs="drop").assign_coords(
        policy=list(config.policies), estimator=list(config.estimators)
    )
    base = contexts.graded_success_probs(config.num_prompts, config.hardest, config.easiest)
    dataset["base_success_prob"] = ("prompt", np.asarray(base))
    names = {
        "success_prob": "exact success probability of one try after training",
        "base_success_prob": "success probability of one try of the base policy",
        "learning_rate": "learning rate, tuned for pass@K after training",
    }
    for name, long_name in names.items():
        dataset[name].attrs.update(long_name=long_name, units="1")
    return dataset


EXPERIMENT = experiment.Experiment(
    name="pass_at_k",
    parts=parts,
    combine=combine,
    draw=drawing.draw,
    claims=drawing.claims,
    caption=drawing.caption,
)

if __name__ == "__main__":
    experiment.main(EXPERIMENT)
