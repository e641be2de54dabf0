"""Final J_k for many evaluation k against the K of training: the paper's Figure 10."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from ml_collections import ConfigDict
from scipy import optimize

from experiments import bandit_runs, experiment
from experiments import old_lottery as lotteries
from experiments.drawings import k_sensitivity as drawing
from experiments.old_lottery import Lottery, make_instance
from maxpo_jax.bandits import policy as policies


def largest_max_at_k(lottery: Lottery, k: int) -> float:
    """The largest J_k that any policy reaches: J_k is concave in the policy."""
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), lottery)
        loss = jax.jit(
            jax.value_and_grad(lambda x: -lotteries.max_at_k(wide, policies.probabilities(x), k))
        )
        found = optimize.minimize(
            lambda x: tuple(np.asarray(v) for v in loss(x)),
            np.zeros(len(lottery.prizes)),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 5000, "ftol": 1e-14, "gtol": 1e-10},
        )
    return float(-found.fun)


def final_values(config: ConfigDict, estimator: str, training_k: int) -> xr.Dataset:
    """Exact J_k [seed, k] of the policies trained with K, at the learning rate tuned for it."""
    instance = make_instance(config.instance, config.num_actions)
    ks = np.full(config.num_updates, training_k)
    runs = bandit_runs.tuned_runs(config, instance, estimator, ks, training_k)
    values = [
        bandit_runs.max_at_k(instance.lottery, runs.history.params[:, -1], jnp.asarray(k))
        for k in config.evaluation_ks
    ]
    return xr.Dataset(
        {
            "max_at_k": (("seed", "evaluation_k"), np.stack(values, axis=1)),
            "learning_rate": ((), runs.learning_rate),
        },
        attrs={"gradient_draws": bandit_runs.gradient_draws(config)},
    )


def optima(config: ConfigDict) -> xr.Dataset:
    """The largest J_k of any policy [k]."""
    lottery = make_instance(config.instance, config.num_actions).lottery
    values = [largest_max_at_k(lottery, k) for k in config.evaluation_ks]
    return xr.Dataset({"optimum": ("evaluation_k", np.array(values))})


def parts(config: ConfigDict) -> dict[str, Callable[[], xr.Dataset]]:
    """One part per estimator and training K, and the optima."""
    bandit_runs.check(config, config.training_ks)
    bandit_runs.check_instance(config)
    pieces: dict[str, Callable[[], xr.Dataset]] = {
        f"{name},K={k}": functools.partial(final_values, config, name, k)
        for name in config.estimators
        for k in config.training_ks
    }
    return pieces | {"optima": functools.partial(optima, config)}


def combine(config: ConfigDict, pieces: dict[str, xr.Dataset]) -> xr.Dataset:
    """Values [estimator, training_k, seed, evaluation_k]."""
    rows = [
        xr.concat(
            [pieces[f"{name},K={k}"] for k in config.training_ks],
            dim="training_k",
            combine_attrs="drop",
        )
        for name in config.estimators
    ]
    dataset = xr.concat(rows, dim="estimator", combine_attrs="drop").assign_coords(
        estimator=list(config.estimators),
        training_k=list(config.training_ks),
        evaluation_k=list(config.evaluation_ks),
    )
    dataset["optimum"] = pieces["optima"].optimum
    names = {
        "max_at_k": "exact J_k of the trained policy",
        "optimum": "largest J_k of any policy",
        "learning_rate": "learning rate, tuned for J_K at the training K",
    }
    for name, long_name in names.items():
        dataset[name].attrs.update(long_name=long_name, units="1")
    return dataset


EXPERIMENT = experiment.Experiment(
    name="k_sensitivity",
    parts=parts,
    combine=combine,
    draw=drawing.draw,
    claims=drawing.claims,
    caption=drawing.caption,
)

if __name__ == "__main__":
    experiment.main(EXPERIMENT)
