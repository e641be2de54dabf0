"""Advantage estimators for max@K, pass@K and pass@1, and their registry."""

from maxpo_jax.estimators.best_of_n import (
    bon_max_mean,
    bon_max_second,
    bon_mean,
)
from maxpo_jax.estimators.centered import (
    center_ei,
    center_u,
)
from maxpo_jax.estimators.contract import (
    Estimator,
    alias,
    get,
    names,
    register,
    unregister,
)
from maxpo_jax.estimators.mahdavi import (
    mahdavi_grpo,
    mahdavi_rloo,
)
from maxpo_jax.estimators.max_at_k import (
    canonical,
    ei,
    expected_max_at_k,
    maxpo,
)
from maxpo_jax.estimators.maxrl import (
    maxrl,
    maxrl_real,
)
from maxpo_jax.estimators.off_policy import (
    off_policy_max_at_k,
    off_policy_max_at_k_centered,
    off_policy_max_at_k_first_order,
    off_policy_max_at_k_leave_one_out,
)
from maxpo_jax.estimators.order_statistics import (
    median_at_k,
    min_at_k,
    order_statistic,
    top_two_at_k,
)
from maxpo_jax.estimators.pass_at_1 import (
    dr_grpo,
    grpo,
    reinforce,
    rloo,
)
from maxpo_jax.estimators.pass_at_k_training import (
    pass_at_k_training_analytic,
    pass_at_k_training_bootstrap,
    pass_at_k_training_bootstrap_std,
    pass_at_k_training_full,
    pass_at_k_training_full_std,
)
from maxpo_jax.estimators.pkpo import (
    pkpo_binary,
    pkpo_s,
    pkpo_sloo,
    pkpo_sloo_minus_one,
)
from maxpo_jax.estimators.population import (
    population_advantages,
)
from maxpo_jax.estimators.rspo import (
    rspo,
)
from maxpo_jax.estimators.tang import (
    tang_leave_one_out,
    tang_mean_of_leave_one_out,
    tang_mean_reward,
)
from maxpo_jax.estimators.verl import (
    verl_pass_at_k,
    verl_pass_at_k_std,
)
from maxpo_jax.estimators.wrapping import (
    wrap,
)
from maxpo_jax.estimators.zscored import (
    zscore_ei,
    zscore_maxpo,
)

__all__ = [
    "Estimator",
    "alias",
    "bon_max_mean",
    "bon_max_second",
    "bon_mean",
    "canonical",
    "center_ei",
    "center_u",
    "dr_grpo",
    "ei",
    "expected_max_at_k",
    "get",
    "grpo",
    "mahdavi_grpo",
    "mahdavi_rloo",
    "maxpo",
    "maxrl",
    "maxrl_real",
    "median_at_k",
    "min_at_k",
    "names",
    "off_policy_max_at_k",
    "off_policy_max_at_k_centered",
    "off_policy_max_at_k_first_order",
    "off_policy_max_at_k_leave_one_out",
    "order_statistic",
    "pass_at_k_training_analytic",
    "pass_at_k_training_bootstrap",
    "pass_at_k_training_bootstrap_std",
    "pass_at_k_training_full",
    "pass_at_k_training_full_std",
    "pkpo_binary",
    "pkpo_s",
    "pkpo_sloo",
    "pkpo_sloo_minus_one",
    "population_advantages",
    "register",
    "reinforce",
    "rloo",
    "rspo",
    "tang_leave_one_out",
    "tang_mean_of_leave_one_out",
    "tang_mean_reward",
    "top_two_at_k",
    "unregister",
    "verl_pass_at_k",
    "verl_pass_at_k_std",
    "wrap",
    "zscore_ei",
    "zscore_maxpo",
]
