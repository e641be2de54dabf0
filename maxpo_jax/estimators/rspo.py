"""RSPO: a response is credited with what it adds as the best of K."""

from maxpo_jax.estimators.contract import FROM_TWO, alias
from maxpo_jax.estimators.max_at_k import ei

rspo = alias(
    "rspo",
    of=ei,
    citation="zhang2025rspo",
    equation="marginal contribution to the maximum of K; reconstructed from the abstract",
    k_range=FROM_TWO,
    shift_invariant=True,
    note=r"""RSPO: the marginal contribution of a sample to the best of K.

    .. math:: A_i = \binom{B-1}{K-1}^{-1} \sum_{S \not\ni i, |S| = K-1} \max(R_i - \max S, 0)

    For 0/1 rewards with c successes: C(B-c, K-1) / C(B-1, K-1) for a success, 0 for a failure.
    Samples below the best of their subset get nothing ("no hitchhiking").
    """,
    source=(
        'Zhang et al., 2025, "RSPO: Risk-Seeking Policy Optimization for Pass@k and Max@k Metrics '
        'in Large Language Models", arXiv:2508.01174; reconstructed from its abstract.'
    ),
)
