"""Base policies and training from them: one run by its parts, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from measured import refused, run_of, whole_run

from experiments.common.estimator_spec import resolve
from experiments.common.keys import key_for
from experiments.engine import code, measurement
from experiments.measurements import _tokens, token_pretraining, token_training
from experiments.measurements.token_training import MEASUREMENT
from maxpo_jax import estimators, objectives
from maxpo_jax.tokens import exact, gradients
from maxpo_jax.tokens.gradients import Randomness
from maxpo_jax.tokens.verifier import verify

PROMPTS = {"num_train": 30, "num_test": 3, "width": 8, "num_layers": 1, "num_heads": 2}
BASE = {**PROMPTS, "families": "sort+pair", "num_updates": 100}
TINY = {
    **PROMPTS,
    "base_families": "sort+pair",
    "base_num_updates": 100,
    "families": "pair+sort",
    "prompts_per_update": 2,
    "group_size": 4,
    "estimator": f"{__file__}:plus_one",
    "k": 2,
    "learning_rate": 0.01,
    "num_updates": 4,
    "updates_per_record": 2,
    "variance_groups": 2,
}


ONE_PROGRAM = {"estimator": "maxpo", "variance_groups": 0}


def plus_one(rewards, k):
    """Advantages that teach even where no response is right, as of a policy of no practice."""
    return rewards + 1.0


def outputs(loaded, fields, *more):
    """Of the runs of a chunk of one seed, each with the dimensions that are promised."""
    run = run_of(loaded, **fields)
    found = loaded.compute(run, np.array([3], np.int32), *more)
    sizes = {dim: len(values) for dim, values in loaded.coordinates(run).items()}
    assert set(found) == set(loaded.outputs)
    for name, output in loaded.outputs.items():
        assert found[name].shape == (1, *(sizes[dim] for dim in output.dims)), name
    return found


@pytest.fixture(scope="module")
def base():
    """The outputs of one base policy, of seed 3, without the axis of the seeds."""
    found = outputs(token_pretraining.MEASUREMENT, BASE)
    return {name: values[0] for name, values in found.items()}


@pytest.fixture(scope="module")
def found(base):
    return outputs(MEASUREMENT, TINY, base)


def test_the_base_policy_is_what_its_outputs_say(base):
    run = run_of(token_pretraining.MEASUREMENT, **BASE)
    policy, tasks = _tokens.from_vector(base["parameters"], run), _tokens.tasks_of(run)
    np.testing.assert_array_equal(_tokens.as_vector(policy), base["parameters"])
    probs = exact.success_probabilities(policy, tasks.test, tasks.answers)
    np.testing.assert_allclose(base["success_prob"].ravel(), probs, rtol=1e-4)
    each = exact.answer_probabilities(policy, tasks.test, tasks.answers)
    for prompt, repeat in enumerate(base["repeat_prob"].ravel()):
        own = np.asarray(each, np.float64)[tasks.answers.prompt == prompt]
        assert repeat == pytest.approx(np.sum(own**2) / np.sum(own) ** 2, rel=1e-4)
    J = [np.mean(objectives.pass_at_k(probs, k)) for k in _tokens.EVALUATION_KS]
    np.testing.assert_allclose(base["J"], J, rtol=1e-4)
    assert base["loss"].shape == (1,)


def test_a_run_starts_from_the_base_policy_that_its_fields_name():
    start = token_training.starts_from(run_of(MEASUREMENT, **TINY, base_seed=7))
    expected = {**token_pretraining.MEASUREMENT.fields, **BASE, "seed": 7}
    assert start == measurement.StoredRun("token_pretraining", expected)
    reached = code.reached_modules(measurement.FOLDER / "token_training.py")
    assert token_pretraining.__name__ in reached  # its code is part of the key


def test_training_is_the_recursion_of_its_definition(base, found):
    """Update by update, with the estimates of the world and Adam in NumPy."""
    run = run_of(MEASUREMENT, **TINY)
    tasks, policy = _tokens.tasks_of(run), _tokens.from_vector(base["parameters"], run)
    world = gradients.make_world(
        jnp.asarray(tasks.train),
        verify=verify,
        estimator=resolve(TINY["estimator"]),
        group_size=4,
        prompts_per_update=2,
        response_length=8,
    )
    estimate = jax.jit(world.estimate)
    theta, m, v, rewards = base["parameters"].astype(np.float64), 0, 0, []
    for number in range(4):
        window, row = divmod(number, 2)
        key = jax.random.fold_in(key_for(3, "token_training"), window)
        groups = jax.tree.map(lambda leaf, row=row: leaf[row], world.draw(key, 2))
        policy = _tokens.from_vector(theta.astype(np.float32), run)
        gradient, reward = estimate(groups, policy, jnp.int32(2))
        gradient = np.asarray(_tokens.as_vector(gradient), np.float64)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        m_hat, v_hat = m / (1 - 0.9 ** (number + 1)), v / (1 - 0.999 ** (number + 1))
        theta = theta + 0.01 * m_hat / (np.sqrt(v_hat) + 1e-8)
        rewards.append(float(jnp.mean(reward)))
        if number == 3:
            assert found["adam_variance"][0, 1] == pytest.approx(np.sum(v_hat - m_hat**2), rel=1e-3)
    policy = _tokens.from_vector(theta.astype(np.float32), run)
    probs = np.asarray(exact.success_probabilities(policy, tasks.test, tasks.answers))
    np.testing.assert_allclose(found["success_prob"][0, -1].ravel(), probs, rtol=2e-2, atol=1e-7)
    drawn = world.draw(jax.random.fold_in(key_for(3, "token_training"), 1), 2 + 2)
    gradients_at_prompts = []
    for uniforms in drawn.uniforms[2:]:  # two further groups for each of the same two prompts
        groups = Randomness(drawn.prompts[2], uniforms)
        gradients_at_prompts.append(_tokens.as_vector(estimate(groups, policy, jnp.int32(2))[0]))
    variance = 2 * np.var(np.array(gradients_at_prompts), axis=0, ddof=1).sum()
    assert found["gradient_variance"][0, -1] == pytest.approx(variance, rel=1e-2)
    np.testing.assert_allclose(found["reward"][0], np.reshape(rewards, (2, 2)).mean(axis=1))
    np.testing.assert_array_equal(found["success_prob"][0, 0], base["success_prob"][[1, 0]])


def test_pass_at_k_is_one_minus_all_failures(found):
    p = found["success_prob"][0, -1].ravel().astype(np.float64)
    truth = [(1 - (1 - p) ** k).mean() for k in _tokens.EVALUATION_KS]
    np.testing.assert_allclose(found["J"][0], truth, rtol=1e-4)


def test_one_program_for_all_traced_fields(base):
    count = token_training._train._cache_size
    outputs(MEASUREMENT, TINY | ONE_PROGRAM, base)
    before = count()
    for fields in ({"k": 3}, {"final_k": 1}, {"learning_rate": 0.1}, {"estimator": "grpo"}):
        outputs(MEASUREMENT, TINY | ONE_PROGRAM | fields, base)
    assert count() == before
    assert set(token_training.IN_ONE_PROGRAM) <= set(estimators.names())
    assert not any(estimators.get(name).randomized for name in token_training.IN_ONE_PROGRAM)


def test_each_estimator_of_the_program_is_the_one_that_is_asked_for():
    """All of them by number, on one group."""
    chosen = tuple(estimators.get(name) for name in token_training.IN_ONE_PROGRAM)
    rewards = jnp.array([0.0, 1.0, 0.0, 0.0, 1.0, 0.0])
    switched = jax.jit(lambda which: token_training._chosen(chosen, which)(rewards, jnp.int32(3)))
    for number, estimator in enumerate(chosen):
        np.testing.assert_allclose(switched(number), estimator(rewards, 3), rtol=1e-6)


def test_k_moves_in_a_line():
    run = run_of(MEASUREMENT, **(TINY | {"k": 8, "final_k": 2, "num_updates": 7}))
    assert token_training._schedule(run).tolist() == [8, 7, 6, 5, 4, 3, 2]
    run = run_of(MEASUREMENT, **TINY)
    assert token_training._schedule(run).tolist() == [2, 2, 2, 2]


def test_a_base_policy_of_another_size_is_refused_in_one_line(base):
    run = run_of(MEASUREMENT, **(TINY | {"width": 16}))
    with pytest.raises(ValueError, match=r"^the base policy has 2712 parameters, and one of width"):
        _tokens.from_vector(base["parameters"], run)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"families": "sort+pears"}, "families 'pears' does not exist; did you mean pair?"),
        ({"families": "sort+sort"}, "families names sort twice"),
        ({"base_families": "sort+pair"}, "families has countdown3, which the base policy does not"),
        ({"k": 16}, "maxpo: k = 16 does not fit"),
        ({"final_k": 16}, "maxpo: k = 16 does not fit"),
        ({"num_heads": 3}, "num_heads is 3; it must divide width, which is 64"),
        ({"num_updates": 70}, "num_updates is 70; it must be a multiple of 50"),
        ({"base_num_updates": 150}, "num_updates is 150; it must be a multiple of 100"),
        ({"base_noise": 1.5}, "noise is 1.5; it is a share"),
        ({"variance_groups": 1}, "variance_groups is 1; it must be 0, or 2 to updates_per_record"),
        ({"prompts_per_update": 0}, "prompts_per_update is 0"),
    ],
)
def test_runs_that_make_no_sense_are_refused(fields, message):
    assert message in refused(MEASUREMENT, **fields)
    assert refused(MEASUREMENT, **MEASUREMENT.smoke) == ""
    assert whole_run(MEASUREMENT, **MEASUREMENT.smoke).num_updates == 10
