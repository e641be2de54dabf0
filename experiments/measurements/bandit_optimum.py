"""The largest J_k that any policy reaches on a hard bandit."""

from collections.abc import Mapping

import numpy as np
from ml_collections import FrozenConfigDict

from experiments.engine.measurement import Measurement, Output
from experiments.measurements import _common
from maxpo_jax.bandits.bandit import INSTANCES, make_instance
from maxpo_jax.bandits.optimum import largest_value


def compute(run: FrozenConfigDict, seeds: np.ndarray) -> Mapping[str, np.ndarray]:
    """Exact values [1, evaluation_k]."""
    bandit = make_instance(run.instance, run.num_actions).bandit
    return {"J": np.array([[largest_value(bandit, k) for k in _common.EVALUATION_KS]])}


def coordinates(run: FrozenConfigDict) -> dict[str, np.ndarray]:
    """The k of evaluation."""
    return {"evaluation_k": _common.evaluation_ks()}


def refuse(run: FrozenConfigDict) -> str:
    """Why a run makes no sense."""
    return _common.first(
        _common.refuse_unknown("instance", run.instance, INSTANCES),
        _common.refuse_below(run, 2, "num_actions"),
    )


MEASUREMENT = Measurement(
    fields={"instance": "needle", "num_actions": 64},
    outputs={"J": Output("largest $J_k$ of any policy", dims=("evaluation_k",))},
    compute=compute,
    coordinates=coordinates,
    refuse=refuse,
    smoke={"num_actions": 18},
)
