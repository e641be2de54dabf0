"""What measurements of token policies share: prompts, listed answers, policies as vectors."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike
from ml_collections import FrozenConfigDict

from experiments.measurements import _common
from maxpo_jax.tokens import families, vocabulary
from maxpo_jax.tokens import policy as policies
from maxpo_jax.tokens.families import Answers
from maxpo_jax.tokens.policy import Policy
from maxpo_jax.tokens.vocabulary import PROMPT_LENGTH, RESPONSE_LENGTH, TASKS

EVALUATION_KS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
SEPARATOR = "+"

PROMPT_FIELDS = {"prompts_seed": 0, "num_train": 10_000, "num_test": 100}
"""Fields that say which prompts there are: to train on in all, and to test on of each family."""

POLICY_FIELDS = {"width": 64, "num_layers": 2, "num_heads": 4}
"""Fields that say how large a policy is."""


class Tasks(NamedTuple):
    """Prompts to train on and to test on.

    Attributes:
      train: [num_train, PROMPT_LENGTH] prompts, of the families in turn.
      test: [families * num_test, PROMPT_LENGTH] prompts.
      answers: the right answers to those to test on.
    """

    train: np.ndarray
    test: np.ndarray
    answers: Answers


def family_names(text: str) -> list[str]:
    """The families that a field names.

    Example:
      >>> family_names("sort+pair")
      ['sort', 'pair']
    """
    return text.split(SEPARATOR)


@functools.lru_cache(maxsize=8)
def _tasks(text: str, seed: int, num_train: int, num_test: int) -> Tasks:
    names = family_names(text)
    of_each = -(-num_train // len(names))
    by_family, test = families.split_prompts(seed, names, of_each, num_test)
    in_turn = by_family.reshape(len(names), of_each, PROMPT_LENGTH).swapaxes(0, 1)
    train = in_turn.reshape(-1, PROMPT_LENGTH)[:num_train]
    found = Tasks(train, test, families.right_answers(test))
    return jax.tree.map(lambda tokens: tokens.astype(np.int32), found)


def tasks_of(run: FrozenConfigDict) -> Tasks:
    """The tasks of a run with the fields `families` and `PROMPT_FIELDS`."""
    return _tasks(run.families, run.prompts_seed, run.num_train, run.num_test)


@functools.partial(jax.jit, static_argnames=tuple(POLICY_FIELDS))
def initial_policy(key: jax.Array, *, width: int, num_layers: int, num_heads: int) -> Policy:
    """A random policy for the tasks."""
    return policies.initial_policy(
        key,
        vocabulary_size=vocabulary.SIZE,
        prompt_length=PROMPT_LENGTH,
        response_length=RESPONSE_LENGTH,
        width=width,
        num_layers=num_layers,
        num_heads=num_heads,
    )


def sizes_of(run: FrozenConfigDict) -> dict[str, int]:
    """How large the policy of a run is."""
    return {name: run[name] for name in POLICY_FIELDS}


def as_vector(policy: Policy) -> jax.Array:
    """All parameters of a policy in a row."""
    return ravel_pytree(policy)[0]


def num_parameters(run: FrozenConfigDict) -> int:
    """How many parameters the policy of a run has."""
    return sum(leaf.size for leaf in jax.tree.leaves(_shapes(**sizes_of(run))))


def from_vector(vector: ArrayLike, run: FrozenConfigDict) -> Policy:
    """The policy of these parameters.

    Raises:
      ValueError: where a policy of this size has more or fewer.
    """
    shapes = _shapes(**sizes_of(run))
    leaves, structure = jax.tree.flatten(shapes)
    ends = np.cumsum([leaf.size for leaf in leaves])
    if ends[-1] != np.size(vector):
        raise ValueError(
            f"the base policy has {np.size(vector)} parameters, and one of width {run.width} with "
            f"{run.num_layers} layers has {ends[-1]}: start from one of the same size"
        )
    parts = jnp.split(jnp.asarray(vector), ends[:-1])
    rows = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(structure, rows)


@functools.cache
def _shapes(**sizes: int) -> Any:
    return jax.eval_shape(functools.partial(initial_policy, **sizes), jax.random.key(0))


def refuse_families(field: str, text: str) -> str:
    """Why the families of a field are refused."""
    names = family_names(text)
    twice = [name for name in names if names.count(name) > 1]
    return _common.first(
        *(_common.refuse_unknown(field, name, TASKS) for name in names),
        f"{field} names {twice[0]} twice" if twice else "",
    )


def refuse_sizes(run: FrozenConfigDict) -> str:
    """Why the fields of prompts and of the policy are refused."""
    return _common.first(
        _common.refuse_below(run, 1, *PROMPT_FIELDS.keys() - {"prompts_seed"}),
        _common.refuse_below(run, 0, "prompts_seed"),
        _common.refuse_below(run, 1, *POLICY_FIELDS),
        ""
        if run.width % run.num_heads == 0
        else f"num_heads is {run.num_heads}; it must divide width, which is {run.width}",
    )


def evaluation_ks() -> np.ndarray:
    """The coordinate `evaluation_k`."""
    return np.array(EVALUATION_KS)
