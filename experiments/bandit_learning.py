"""Learning curves on hard bandits: exact J_K of the policy while each estimator trains it."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from ml_collections import ConfigDict

from experiments import bandit_runs, experiment
from experiments.drawings import bandit_learning as drawing
from experiments.old_lottery import make_instance
from maxpo_jax.bandits import policy as policies

ANNEALED = "+annealed"  # behind the name of the estimator
MEASURES = {
    "max_at_1": "exact J_1 of the policy",
    "max_at_k": "exact J_K of the policy",
    "entropy": "entropy of the policy in nats",
    "gradient_norm": "norm of the gradient estimate, mean since the last record",
}


def learners(config: ConfigDict) -> tuple[str, ...]:
    """Names of the curves: the estimators at constant K, and one with K annealed to 1."""
    annealed = (config.annealed_estimator + ANNEALED,) if config.annealed_estimator else ()
    return (*config.estimators, *annealed)


def schedule(config: ConfigDict, learner: str) -> np.ndarray:
    """K of each update: constant, or falling in equal steps from K to 1."""
    if not learner.endswith(ANNEALED):
        return np.full(config.num_updates, config.k)
    progress = np.arange(config.num_updates) / config.num_updates
    return config.k - np.floor(progress * config.k).astype(int)


def learned(config: ConfigDict, name: str, learner: str) -> xr.Dataset:
    """Curves of one learner on one instance at its tuned learning rate."""
    instance = make_instance(name, config.num_actions)
    estimator = learner.removesuffix(ANNEALED)
    runs = bandit_runs.tuned_runs(config, instance, estimator, schedule(config, learner), config.k)
    logits = runs.history.params
    start = jnp.broadcast_to(instance.logits, (logits.shape[0], 1, logits.shape[-1]))
    logits = jnp.concatenate([start, logits], axis=1)
    of_k = functools.partial(bandit_runs.max_at_k, instance.lottery, logits)
    unknown = np.full((logits.shape[0], 1), np.nan, np.float32)  # before the first update
    curves = {
        "max_at_1": of_k(jnp.asarray(1)),
        "max_at_k": of_k(jnp.asarray(config.k)),
        "entropy": jax.jit(policies.entropy)(logits),
        "gradient_norm": np.concatenate([unknown, runs.history.gradient_norm], axis=1),
    }
    variables = {measure: (("seed", "update"), np.asarray(v)) for measure, v in curves.items()}
    return xr.Dataset(
        variables | {"learning_rate": ((), runs.learning_rate)},
        attrs={"gradient_draws": bandit_runs.gradient_draws(config)},
    )


def suits(config: ConfigDict, name: str, learner: str) -> bool:
    """Whether the learner is defined for the rewards of the instance."""
    lottery = make_instance(name, config.num_actions).lottery
    return bandit_runs.suits(learner.removesuffix(ANNEALED), lottery)


def parts(config: ConfigDict) -> dict[str, Callable[[], xr.Dataset]]:
    """One part per instance and learner; estimators for 0/1 rewards only where rewards are such."""
    annealed = (config.annealed_estimator,) if config.annealed_estimator else ()
    bandit_runs.check(config, (config.k,))
    bandit_runs.check_estimators(annealed, (1, config.k), config.group_size)
    return {
        f"{name},{learner}": functools.partial(learned, config, name, learner)
        for learner in learners(config)
        for name in config.instances
        if suits(config, name, learner)
    }


def combine(config: ConfigDict, pieces: dict[str, xr.Dataset]) -> xr.Dataset:
    """Curves [instance, learner, seed, update]; NaN where a learner is not defined."""
    some = next(iter(pieces.values()))
    rows = []
    for name in config.instances:
        of_name = [pieces.get(f"{name},{learner}") for learner in learners(config)]
        filled = [xr.full_like(some, np.nan) if piece is None else piece for piece in of_name]
        rows.append(xr.concat(filled, dim="learner", combine_attrs="drop"))
    dataset = xr.concat(rows, dim="instance", combine_attrs="drop").assign_coords(
        instance=list(config.instances),
        learner=list(learners(config)),
        update=np.arange(0, config.num_updates + 1, config.updates_per_record),
    )
    for measure, long_name in MEASURES.items():
        dataset[measure].attrs.update(long_name=long_name, units="1")
    dataset.learning_rate.attrs.update(
        long_name="learning rate, tuned for J_K after training", units="1"
    )
    return dataset


EXPERIMENT = experiment.Experiment(
    name="bandit_learning",
    parts=parts,
    combine=combine,
    draw=drawing.draw,
    claims=drawing.claims,
    caption=drawing.caption,
)

if __name__ == "__main__":
    experiment.main(EXPERIMENT)
