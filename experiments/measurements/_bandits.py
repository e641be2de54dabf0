"""The random bandit of a seed, the same in every measurement that draws one."""

import jax
import jax.numpy as jnp
from ml_collections import FrozenConfigDict

from experiments.common.keys import key_for
from experiments.measurements import _common
from maxpo_jax.bandits.bandit import REWARD_FAMILIES, make_bandit

LOGITS = ("uniform", "gaussian")
PADDING = -jnp.inf  # logit of an action that does not exist


def draw_problem(
    seed: int | jax.Array, family: str, logits: str, num_actions: int | jax.Array, size: int
) -> tuple[jax.Array, jax.Array]:
    """Logits [size] of a policy and rewards [size] of the arms of one bandit.

    Actions beyond num_actions have no probability, so that one program serves many numbers of
    actions: the first arms do not depend on `size`.

    Args:
      seed: of the bandit; may be traced.
      family: one of `REWARD_FAMILIES`. Static.
      logits: one of `LOGITS`: all 0, or standard normal. Static.
      num_actions: may be traced.
      size: at least num_actions. Static.
    """
    bandit = make_bandit(key_for(seed, "bandit", family), family, num_actions, size=size)
    theta = jnp.zeros(size)
    if logits == "gaussian":
        theta = jax.random.normal(key_for(seed, "bandit", family, "logits"), (size,))
    return jnp.where(jnp.arange(size) < num_actions, theta, PADDING), bandit.rewards


def padded_size(num_actions: int) -> int:
    """The static size that a number of actions is padded to: 1024, or else a power of two.

    Example:
      >>> padded_size(8), padded_size(1025)
      (1024, 2048)
    """
    return max(1024, 1 << (num_actions - 1).bit_length())


def refuse_problem(run: FrozenConfigDict) -> str:
    """Why the fields of a random bandit are refused."""
    return _common.first(
        _common.refuse_unknown("reward_family", run.reward_family, REWARD_FAMILIES),
        _common.refuse_unknown("logits", run.logits, LOGITS),
        _common.refuse_below(run, 2, "num_actions"),
    )
