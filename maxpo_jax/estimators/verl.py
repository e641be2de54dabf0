"""The pass@k rule of the verl library: the gap between the two best rewards."""

from typing import Any

import jax

from maxpo_jax.estimators.contract import WHOLE_GROUP, alias, register
from maxpo_jax.estimators.group_statistics import over_standard_deviation
from maxpo_jax.estimators.max_at_k import ei, expected_improvement
from maxpo_jax.kernel.spacings import weighted_advantages

verl_pass_at_k = alias(
    "verl_pass_at_k",
    of=ei,
    citation="sheng2024hybridflow",
    equation="grpo_passk outcome advantage, without division by the standard deviation",
    k_range=WHOLE_GROUP,
    shift_invariant=True,
    note=r"""The best sample gets its lead over the second best, the others nothing.

    .. math:: A_i = R_{(B)} - R_{(B-1)} \text{ for the best sample, } 0 \text{ else}

    Tied best samples have no lead. Averaged over the samples of a group, as in its library, its
    gradient is 1/B times the one meant here.
    """,
    source=(
        'the verl library (Sheng et al., 2024, arXiv:2409.19256), advantage "grpo_passk", read '
        "through a second hand."
    ),
)


@register(
    "verl_pass_at_k_std",
    citation="sheng2024hybridflow",
    equation="grpo_passk outcome advantage, its default",
    unbiased=False,
    centered=False,
    scale_equivariant=False,
    k_range=WHOLE_GROUP,
)
def verl_pass_at_k_std(rewards: jax.Array, k: Any, *, where: jax.Array | None = None) -> jax.Array:
    r"""`verl_pass_at_k` over the standard deviation of the rewards of the group.

    .. math:: A_i = \frac{R_{(B)} - R_{(B-1)}}{s + 10^{-6}} \text{ for the best sample, }
       0 \text{ else}, \qquad s^2 = \frac{1}{B-1} \sum_j (R_j - \bar R)^2

    Args:
      rewards: [..., B] rewards of the samples of each group.
      k: the group size B.
      where: [..., B] boolean, valid samples.

    Returns:
      [..., B] advantages.

    Raises:
      ValueError: as `maxpo_jax.maxpo`; k other than B.

    Example:
      >>> import jax.numpy as jnp
      >>> verl_pass_at_k_std(jnp.array([0.0, 1.0, 2.0]), k=3).round(3).tolist()
      [0.0, 0.0, 1.0]

    Source: the verl library (Sheng et al., 2024, arXiv:2409.19256), advantage "grpo_passk", read
    through a second hand.

    Biased for grad J_B: the deviation of the same group weighs each group by its own luck.
    """
    lead = weighted_advantages(expected_improvement, rewards, k, where)
    return over_standard_deviation(lead, rewards, where, ddof=1, epsilon=1e-6)
