"""Prompts and the listing of right answers, held to the rules and to the verifier."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxpo_jax.tokens import families, pretraining, vocabulary
from maxpo_jax.tokens.families import right_answers
from maxpo_jax.tokens.verifier import verify
from maxpo_jax.tokens.vocabulary import END, IN, OUT, PADDING, RESPONSE_LENGTH, TASKS

NUM_SAMPLES = 100_000
NUM_PROMPTS = 100


@pytest.fixture(scope="module")
def verdicts():
    """`(prompts [n, 8], responses [n, 8]) -> [n]`, compiled once."""
    compiled = jax.jit(jax.vmap(verify))
    return lambda prompts, responses: np.asarray(
        compiled(jnp.asarray(prompts, jnp.int32), jnp.asarray(responses, jnp.int32))
    )


def identity(which, responses):
    """One integer for each pair of a prompt's number and a response."""
    place = vocabulary.SIZE ** np.arange(RESPONSE_LENGTH, dtype=np.int64)
    return which * vocabulary.SIZE**RESPONSE_LENGTH + responses @ place


def up_to_end(responses):
    """Responses with nothing but END from the first one on."""
    return np.where(np.cumsum(responses == END, axis=1) > 0, END, responses)


def varied_responses(rng, prompts, answers):
    """Right, nearly right, well-formed and wild responses, with rubbish after their end."""
    carefully, carelessly = (
        pretraining.demonstrations(rng, prompts, answers, share_right=share, noise=noise)
        for share, noise in ((1.0, 0.0), (0.5, 0.15))
    )
    wild = rng.integers(vocabulary.SIZE, size=carefully.shape)
    one_wrong = carefully.copy()
    rows = np.arange(len(prompts))
    one_wrong[rows, rng.integers(RESPONSE_LENGTH, size=len(rows))] = wild[:, 0]
    swapped = carefully.copy()
    swapped[:, [0, 2]] = swapped[:, [2, 0]]
    kind = rng.choice(5, p=[0.25, 0.35, 0.05, 0.15, 0.2], size=len(rows))
    chosen = np.stack([carefully, carelessly, wild, one_wrong, swapped])[kind, rows]
    ended = np.cumsum(chosen == END, axis=1) - (chosen == END) > 0
    return np.where(ended, rng.integers(vocabulary.SIZE, size=chosen.shape), chosen)


@pytest.mark.parametrize("name", TASKS)
def test_verifier_accepts_what_is_listed_and_nothing_else(name, verdicts):
    rng = np.random.default_rng(TASKS[name])
    prompts = families.draw_prompts(rng, name, NUM_PROMPTS)
    answers = right_answers(prompts)
    which = np.repeat(np.arange(NUM_PROMPTS), NUM_SAMPLES // NUM_PROMPTS)
    asked = prompts[which]
    first = np.searchsorted(answers.prompt, which)
    listed = families.Answers(
        np.arange(len(which)),
        answers.tokens[first + rng.integers(np.bincount(answers.prompt)[which])],
    )
    responses = varied_responses(rng, asked, listed)
    found = verdicts(asked, responses)
    truth = np.isin(identity(which, up_to_end(responses)), identity(answers.prompt, answers.tokens))
    truth &= np.any(responses == END, axis=1)
    np.testing.assert_array_equal(found, truth)
    assert 0.2 < truth.mean() < 0.8


def test_no_answer_is_listed_twice():
    prompts, _ = families.split_prompts(0, list(TASKS), 20, 1)
    answers = right_answers(prompts)
    identities = identity(answers.prompt, answers.tokens)
    assert len(np.unique(identities)) == len(identities)
    assert np.all(np.diff(answers.prompt) >= 0)
    assert set(answers.prompt) == set(range(len(prompts)))


def value(words):
    """An expression by Python, from left to right."""
    text = words[0]
    for operator, operand in zip(words[1::2], words[2::2], strict=True):
        text = f"({text}{operator}{operand})"
    return eval(text)


@pytest.mark.parametrize(
    ("task", "target", "numbers", "used"),
    [
        ("pair", 7, (3, 4, 10, 12, 1, 7), 2),
        ("countdown3", 24, (3, 8, 1), 3),
        ("countdown4", 10, (1, 2, 3, 4), 4),
    ],
)
def test_listed_expressions_are_those_that_python_works_out(task, target, numbers, used):
    truth = set()
    for chosen in itertools.permutations(numbers, used):
        for operators in itertools.product("+-*", repeat=used - 1):
            words = [str(chosen[0])]
            for operator, operand in zip(operators, chosen[1:], strict=True):
                words += [operator, str(operand)]
            if value(words) == target:
                truth.add(" ".join(words))
    padding = [PADDING] * (6 - len(numbers))
    answers = right_answers(np.array([[TASKS[task], target, *numbers, *padding]]))
    assert {vocabulary.spell(tokens) for tokens in answers.tokens} == truth


def test_listed_orders_and_choices_are_those_of_the_rules():
    numbers = (9, 2, 20, 5, 13, 4)
    prompts = [[TASKS["sort"], PADDING, *numbers], [TASKS["arrange"], PADDING, *numbers]]
    prompts += [[TASKS["subset"], 22, *numbers]]
    answers = right_answers(np.array(prompts))
    ascending, arranged, chosen = (answers.tokens[answers.prompt == i, :6] for i in range(3))
    assert ascending.tolist() == [[2, 4, 5, 9, 13, 20]]
    truth = {o for o in itertools.permutations(numbers) if o.index(20) < o.index(2)}
    assert set(map(tuple, arranged.tolist())) == truth
    assert len(arranged) == 360
    truth = [c for c in itertools.product((OUT, IN), repeat=6) if total(c, numbers) == 22]
    assert sorted(map(tuple, chosen.tolist())) == sorted(truth)


def total(choice, numbers):
    return sum(number for word, number in zip(choice, numbers, strict=True) if word == IN)


def test_prompts_to_test_on_are_held_out():
    train, test = families.split_prompts(3, ["pair", "countdown3"], 3000, 100)
    names = ["pair"] * 100 + ["countdown3"] * 100
    assert [vocabulary.spell(prompt).split()[0] for prompt in test] == names
    seen = {(*prompt[:2], *sorted(prompt[2:])) for prompt in train.tolist()}
    held_out = {(*prompt[:2], *sorted(prompt[2:])) for prompt in test.tolist()}
    assert len(held_out) == 200
    assert not seen & held_out
    again, _ = families.split_prompts(3, ["pair", "countdown3"], 3000, 100)
    np.testing.assert_array_equal(again, train)


@pytest.mark.parametrize("name", ["pair", "countdown3", "subset", "countdown4"])
def test_targets_are_reached_and_spread(name):
    prompts = families.draw_prompts(np.random.default_rng(1), name, 2000)
    targets = prompts[:, 1]
    assert targets.min() >= 1
    assert targets.max() <= 99
    assert right_answers(prompts).prompt[-1] == len(prompts) - 1
    assert len(np.unique(targets)) > 50


def test_demonstrations_are_as_careless_as_they_are_told_to_be():
    rng = np.random.default_rng(0)
    prompts = families.draw_prompts(rng, "sort", 20_000)
    answers = right_answers(prompts)
    shares = {}
    for share, noise in ((1.0, 0.0), (0.5, 0.0), (1.0, 0.15)):
        found = pretraining.demonstrations(rng, prompts, answers, share_right=share, noise=noise)
        shares[share, noise] = np.mean(np.all(found == answers.tokens, axis=1))
    kept = (1 - 0.15 * 5 / 6) ** 6  # a number of the prompt's may be the same one
    error = 4 * np.sqrt(0.25 / len(prompts))
    assert shares[1.0, 0.0] == 1
    assert abs(shares[0.5, 0.0] - (0.5 + 0.5 / 720)) < error
    assert abs(shares[1.0, 0.15] - kept) < error


def test_bad_input_is_refused_in_one_line():
    with pytest.raises(ValueError, match=r"^family 'sorting' is unknown; choose of sort, arrange"):
        families.split_prompts(0, ["sorting"], 1, 1)
    with pytest.raises(ValueError, match=r"^token 5 opens the prompt of no family"):
        right_answers(np.array([[5] * 8]))
    with pytest.raises(ValueError, match=r"^prompt 1 has 1001 right answers, which are too many"):
        families.check_listed(np.array([1000, 1001]))
    with pytest.raises(ValueError, match=r"^countdown3 has too few prompts for 100000"):
        families.split_prompts(0, ["countdown3"], 10, 100_000)
