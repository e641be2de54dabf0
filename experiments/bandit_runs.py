"""Training runs on the hard bandits: every learning rate of a grid, many seeds, one program."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from experiments import old_lottery as lotteries
from experiments import old_training as training
from experiments.old_lottery import Instance, Lottery
from maxpo_jax import estimators
from maxpo_jax.bandits import policy as policies

OPTIMISERS = {"sgd": optax.identity(), "adam": optax.scale_by_adam()}


class TunedRuns(NamedTuple):
    """Runs at the learning rate that is best for J_K on seeds of their own.

    Attributes:
      learning_rate: the learning rate that was chosen.
      history: records of the runs at it, each leaf [num_seeds, num_records, ...].
    """

    learning_rate: float
    history: training.History


@functools.partial(
    jax.jit, static_argnames=("estimator", "optimizer", "group_size", "updates_per_record")
)
def grid_of_runs(
    keys: jax.Array,
    instance: Instance,
    ks: jax.Array,
    learning_rates: jax.Array,
    *,
    estimator: str,
    optimizer: str,
    group_size: int,
    updates_per_record: int,
) -> training.History:
    """Histories [learning_rates, seeds, records, ...]; learning rates share their seeds."""
    draw = functools.partial(
        training.lottery_gradient,
        lottery=instance.lottery,
        estimator=estimators.get(estimator),
        group_size=group_size,
    )

    def run(key: jax.Array, learning_rate: jax.Array) -> training.History:
        return training.train(
            key,
            instance.logits,
            ks,
            learning_rate,
            gradient_estimate=draw,
            optimizer=OPTIMISERS[optimizer],
            updates_per_record=updates_per_record,
        )

    return jax.vmap(lambda rate: jax.vmap(lambda key: run(key, rate))(keys))(learning_rates)


@jax.jit
def max_at_k(lottery: Lottery, logits: jax.Array, k: jax.Array) -> jax.Array:
    """Exact J_K of policies [..., n]."""
    flat = logits.reshape(-1, logits.shape[-1])
    values = jax.vmap(lambda x: lotteries.max_at_k(lottery, policies.probabilities(x), k))(flat)
    return values.reshape(logits.shape[:-1])


def tuned_runs(
    config: ConfigDict, instance: Instance, estimator: str, ks: np.ndarray, target_k: int
) -> TunedRuns:
    """Train at every learning rate, and keep the runs of the best one.

    The first `config.num_tuning_seeds` seeds choose the learning rate by their mean J_K after
    training; the others are reported. All estimators get the same grid and the same seeds.
    """
    num_seeds = config.num_tuning_seeds + config.num_seeds
    histories = grid_of_runs(
        jax.random.split(jax.random.key(config.seed), num_seeds),
        instance,
        jnp.asarray(ks),
        jnp.array(config.learning_rates),
        estimator=estimator,
        optimizer=config.optimizer,
        group_size=config.group_size,
        updates_per_record=config.updates_per_record,
    )
    final = max_at_k(instance.lottery, histories.params[:, :, -1], jnp.asarray(target_k))
    best = int(np.argmax(np.asarray(final)[:, : config.num_tuning_seeds].mean(axis=1)))
    kept = jax.tree.map(lambda leaf: leaf[best, config.num_tuning_seeds :], histories)
    return TunedRuns(config.learning_rates[best], kept)


def gradient_draws(config: ConfigDict) -> int:
    """Gradient estimates that one call of `tuned_runs` draws."""
    num_seeds = config.num_tuning_seeds + config.num_seeds
    return len(config.learning_rates) * num_seeds * config.num_updates


def check(config: ConfigDict, ks: tuple[int, ...]) -> None:
    """Refuse a config that cannot be trained.

    Raises:
      ValueError: naming the field, what is allowed, or the near matches of a name.
    """
    if config.optimizer not in OPTIMISERS:
        raise ValueError(
            f"optimizer is {config.optimizer!r}; choose one of {', '.join(OPTIMISERS)}"
        )
    if config.num_seeds < 1 or config.num_tuning_seeds < 1:
        raise ValueError("num_seeds and num_tuning_seeds must be at least 1")
    if config.num_updates % config.updates_per_record:
        raise ValueError(
            f"updates_per_record = {config.updates_per_record} does not divide "
            f"num_updates = {config.num_updates}"
        )
    check_estimators(config.estimators, ks, config.group_size)


def suits(estimator: str, lottery: Lottery) -> bool:
    """Whether the estimator is defined for the rewards of the lottery."""
    return estimators.get(estimator).reward_type == "real" or bool((lottery.prizes == 1).all())


def check_instance(config: ConfigDict) -> None:
    """Refuse an unknown instance, and estimators that are not defined for its rewards.

    Raises:
      ValueError: naming the instances there are, or the estimator.
    """
    lottery = lotteries.make_instance(config.instance, config.num_actions).lottery
    for name in config.estimators:
        if not suits(name, lottery):
            raise ValueError(
                f"estimator {name} is for 0/1 rewards, which {config.instance} does not pay; "
                "leave it out, or choose instance 'rare_success'"
            )


def check_estimators(names: tuple[str, ...], ks: tuple[int, ...], group_size: int) -> None:
    """Refuse unknown or randomized estimators, and K out of their range.

    Raises:
      ValueError: naming the estimator and what is allowed.
    """
    for name in names:
        estimator = estimators.get(name)
        if estimator.randomized:
            raise ValueError(f"estimator {name} is randomized; choose one that is not")
        for k in ks:
            if not estimator.k_range.contains(k, group_size):
                raise ValueError(
                    f"k = {k} does not fit estimator {name} at group_size {group_size}; "
                    f"allowed are {estimator.k_range.text}"
                )
