"""What the figures of token policies work out: theory of the variance, support, replicates."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from experiments.analysis import token_adam_variance, token_runs, token_support
from experiments.analysis.token_adam_variance import variance_in_theory
from maxpo_jax import estimators
from tests.analysis.synthetic import grids_of, summary_of


@pytest.mark.parametrize("name", ["maxpo", "ei"])
@pytest.mark.parametrize("shares", [(1.0,), (0.5, 0.3, 0.2), (0.01,) * 100])
def test_theory_is_the_variance_of_a_softmax_with_very_many_wrong_answers(name, shares):
    """Sampled: a right answer has an axis of its own, and so has every single wrong response."""
    rng, p, group_size, k, num_groups = np.random.default_rng(0), 0.3, 8, 3, 40_000
    shares = np.array(shares)
    found = rng.choice(len(shares) + 1, p=[*(p * shares), 1 - p], size=(num_groups, group_size))
    is_right = found < len(shares)
    advantages = np.asarray(estimators.get(name)(jnp.asarray(is_right, jnp.float32), k))
    of_right = np.stack(
        [np.sum(advantages * (found == answer), axis=1) for answer in range(len(shares))], axis=1
    )
    along = of_right - advantages.sum(axis=1, keepdims=True) * p * shares
    squares = np.sum((along - along.mean(axis=0)) ** 2, axis=1)
    squares += np.sum(advantages**2 * ~is_right, axis=1)
    sampled = (k / group_size) ** 2 * squares
    theory = variance_in_theory(np.array(p), np.array(np.sum(shares**2)), name, group_size, k)
    assert abs(sampled.mean() - theory) < 4 * sampled.std() / np.sqrt(num_groups)


def test_theory_for_orthogonal_scores_is_the_known_ratio_to_the_floor():
    """EI pays 1 / (1 - p) and MaxPO at most B / (B - K) times what the best baseline pays."""
    p = np.array([0.3, 0.6, 0.9])
    maxpo, ei = (variance_in_theory(p, 0 * p, name, 16, 2) for name in ("maxpo", "ei"))
    floor = ei * (1 - p)
    assert np.all(maxpo < 16 / 14 * floor * (1 + 1e-9))
    assert np.all(maxpo >= floor)


def test_prompts_are_sorted_by_what_became_of_them():
    figure, config, grids = grids_of("token_support")
    probs = grids["training"].success_prob[..., :4]
    probs[..., 0, :, :] = np.array([0.1, 0.1, 1e-5, 1e-5])
    probs[..., -1, :, :] = np.array([0.1, 1e-5, 0.1, 1e-5])
    grids["training"] = xr.Dataset({"success_prob": probs})
    share = summary_of(figure, config, grids).share
    assert share.change.values.tolist() == list(token_support.CHANGES)
    np.testing.assert_array_equal(share, 0.25 * np.ones(share.shape))


def test_a_replicate_is_a_pair_of_a_base_policy_and_a_seed():
    values = xr.DataArray(np.arange(12.0).reshape(3, 2, 2), dims=("k", "seed", "base_seed"))
    found = token_runs.replicates(values)
    assert found.shape == (4, 3)
    np.testing.assert_array_equal(found, [[0, 4, 8], [2, 6, 10], [1, 5, 9], [3, 7, 11]])


def test_where_no_response_is_right_nothing_is_said_of_variances():
    figure, config, grids = grids_of("token_adam_variance")
    for of_task in grids.values():
        of_task["gradient_variance"] *= 0
    found = [finding.name for finding in figure.findings(summary_of(figure, config, grids))]
    assert found == ["proxy below ei"]
    assert figure.name == token_adam_variance.NAME
