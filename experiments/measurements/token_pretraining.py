"""Base policies: supervised learning from imperfect demonstrations, and exact pass@k after it.

The seed draws the first parameters and the demonstrations; prompts are of `prompts_seed`. What
`token_training` starts from is the output `parameters`.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import FrozenConfigDict

from experiments.common.keys import key_for
from experiments.engine.measurement import Measurement, Output
from experiments.measurements import _common, _tokens
from experiments.measurements._tokens import Tasks
from maxpo_jax import objectives
from maxpo_jax.tokens import exact, families, pretraining
from maxpo_jax.tokens.policy import Policy
from maxpo_jax.tokens.vocabulary import TASKS

WINDOW = 100  # updates over which the loss is averaged
ANSWERS_PER_PROMPT = 4  # demonstrations of a prompt in an update
ROUNDS = 4  # sets of them that are drawn for a prompt to train on


def compute(run: FrozenConfigDict, seeds: np.ndarray) -> Mapping[str, Any]:
    """Outputs of the base policies of one setting, one after the other."""
    rows = [_one(run, int(seed)) for seed in seeds]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _one(run: FrozenConfigDict, seed: int) -> dict[str, np.ndarray]:
    tasks = _tokens.tasks_of(run)
    prompts, answers = _demonstrations(run, tasks, seed)
    policy, losses = pretraining.imitate(
        key_for(seed, "token_pretraining"),
        _tokens.initial_policy(key_for(seed, "token_policy"), **_tokens.sizes_of(run)),
        prompts,
        answers,
        num_updates=run.num_updates,
    )
    probs, repeats = of_prompts(policy, tasks)
    return {
        "J": np.asarray(mean_pass_at_ks(probs)),
        "success_prob": np.asarray(probs).reshape(-1, run.num_test),
        "repeat_prob": np.asarray(repeats).reshape(-1, run.num_test),
        "loss": np.asarray(losses).reshape(-1, WINDOW).mean(axis=1),
        "parameters": np.asarray(_tokens.as_vector(policy)),
    }


def _demonstrations(
    run: FrozenConfigDict, tasks: Tasks, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Prompts [n, length], each several times, and demonstrations [n, 4, length] of them."""
    rng = np.random.default_rng([seed, run.prompts_seed])
    answers = families.right_answers(tasks.train)
    drawn = [
        pretraining.demonstrations(
            rng, tasks.train, answers, share_right=run.share_right, noise=run.noise
        )
        for _ in range(ROUNDS * ANSWERS_PER_PROMPT)
    ]
    grouped = np.stack(drawn, axis=1).reshape(-1, ANSWERS_PER_PROMPT, drawn[0].shape[1])
    return np.repeat(tasks.train, ROUNDS, axis=0), grouped.astype(np.int32)


@jax.jit
def of_prompts(policy: Policy, tasks: Tasks) -> tuple[jax.Array, jax.Array]:
    """Of each prompt to test on, exactly: success of one try; two right responses are the same."""
    probs = exact.answer_probabilities(policy, tasks.test, tasks.answers)
    of_answers = probs, tasks.answers, len(tasks.test)
    return exact.sum_by_prompt(*of_answers), exact.repeat_probabilities(*of_answers)


def mean_pass_at_ks(probs: jax.Array) -> jax.Array:
    """[evaluation_k] exact pass@k, mean over prompts."""
    pass_at_ks = jax.vmap(objectives.pass_at_k, in_axes=(None, 0))
    return jnp.mean(pass_at_ks(probs, jnp.array(_tokens.EVALUATION_KS)), axis=1)


def coordinates(run: FrozenConfigDict) -> dict[str, np.ndarray]:
    """The k of evaluation, families, prompts, updates of the curve, and parameters."""
    return {
        "evaluation_k": _tokens.evaluation_ks(),
        "family": np.array(_tokens.family_names(run.families)),
        "prompt": np.arange(run.num_test),
        "update": np.arange(WINDOW, run.num_updates + 1, WINDOW),
        "parameter": np.arange(_tokens.num_parameters(run)),
    }


def refuse(run: FrozenConfigDict) -> str:
    """Why a run makes no sense."""
    shares = [name for name in ("share_right", "noise") if not 0 <= run[name] <= 1]
    return _common.first(
        _tokens.refuse_families("families", run.families),
        _tokens.refuse_sizes(run),
        _common.refuse_below(run, WINDOW, "num_updates"),
        f"num_updates is {run.num_updates}; it must be a multiple of {WINDOW}"
        if run.num_updates % WINDOW
        else "",
        *(f"{name} is {run[name]}; it is a share, in [0, 1]" for name in shares),
    )


MEASUREMENT = Measurement(
    fields={
        "seed": 0,
        "families": "+".join(TASKS),
        **_tokens.PROMPT_FIELDS,
        **_tokens.POLICY_FIELDS,
        "share_right": 0.5,
        "noise": 0.3,
        "num_updates": 2000,
    },
    outputs={
        "J": Output("exact pass@k, mean over prompts", dims=("evaluation_k",)),
        "success_prob": Output("exact success probability of one try", dims=("family", "prompt")),
        "repeat_prob": Output(
            "exact probability that two right responses are the same",
            "1",
            ("family", "prompt"),
            None,
        ),
        "loss": Output("loss of a response", "nat", ("update",), False),
        "parameters": Output("parameters of the policy", "1", ("parameter",), None),
    },
    compute=compute,
    coordinates=coordinates,
    refuse=refuse,
    traced=("share_right", "noise"),
    seeds_per_chunk=1,
    smoke={"num_train": 60, "num_test": 4, "width": 16, "num_layers": 1, "num_updates": 100},
)
