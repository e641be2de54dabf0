"""Families of tasks: prompts, and all right answers to each.

    family       numbers           right answer                                       candidates
    sort         6 of 1, ..., 20   the numbers in ascending order                     720
    arrange      6 of 1, ..., 20   the numbers, the largest before the smallest       720
    pair         6 of 1, ..., 12   `a op b` that comes to the target                  90
    countdown3   3 of 1, ..., 12   `a op b op c` likewise, every number used          54
    subset       6 of 1, ..., 20   in or out for each; those that are in sum up to it 64
    countdown4   4 of 1, ..., 12   `a op b op c op d`, as countdown3                  648

The numbers of a prompt are distinct, an op is one of + - *, and expressions are worked out from
left to right. One answer is right to *sort*, half of the candidates are to *arrange*, few to the
others. A policy may emit any tokens; what is no candidate is wrong. So the probability of success
is a finite sum, which `maxpo_jax.tokens.exact` works out.

All of this is NumPy on the host, once for a data set. What a training loop needs, the verdict on
one response, is `maxpo_jax.tokens.verifier`, which shares nothing with the listing here.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from maxpo_jax.tokens import vocabulary
from maxpo_jax.tokens.vocabulary import END, PADDING, PROMPT_LENGTH, RESPONSE_LENGTH, TASKS

MAX_ANSWERS = 1000
"""Right answers to a prompt that are listed at most."""

_OPS = {
    vocabulary.PLUS: np.add,
    vocabulary.MINUS: np.subtract,
    vocabulary.TIMES: np.multiply,
}
_SLOT = vocabulary.SIZE  # in a template, SIZE + i stands for the number i of the prompt
_DRAWS = 20  # attempts to find prompts that are new


class Family(NamedTuple):
    """A family of tasks.

    Attributes:
      num_numbers: how many numbers a prompt gives.
      largest: they are distinct numbers of 1, ..., largest.
      templates: [candidates, RESPONSE_LENGTH] every well-formed answer, with slots for the numbers.
      values: numbers [prompts, num_numbers] -> [prompts, candidates] what each candidate comes to.
      has_target: whether right is what comes to the target of the prompt; else what comes to 1.
    """

    num_numbers: int
    largest: int
    templates: np.ndarray
    values: Callable[[np.ndarray], np.ndarray]
    has_target: bool


class Answers(NamedTuple):
    """The right answers to some prompts, in one list, those to a prompt adjacent.

    Attributes:
      prompt: [answers] which prompt each belongs to, ascending.
      tokens: [answers, RESPONSE_LENGTH] the answers, `END` from their end on.
    """

    prompt: np.ndarray
    tokens: np.ndarray


def _templates(candidates: ArrayLike) -> np.ndarray:
    rows = np.asarray(candidates)
    return np.pad(rows, [(0, 0), (0, RESPONSE_LENGTH - rows.shape[1])], constant_values=END)


def _ordering(holds: Callable[[np.ndarray], np.ndarray]) -> Family:
    """All orders of six numbers; `holds` says which rows [..., 6] are right."""
    orders = np.array(list(itertools.permutations(range(6))))
    return Family(6, 20, _templates(orders + _SLOT), lambda n: holds(n[:, orders]), False)


def _is_ascending(rows: np.ndarray) -> np.ndarray:
    return np.all(np.diff(rows, axis=-1) > 0, axis=-1)


def _starts_high(rows: np.ndarray) -> np.ndarray:
    return np.argmax(rows, axis=-1) < np.argmin(rows, axis=-1)


def _expression(num_operands: int, num_numbers: int) -> Family:
    """All expressions that use some of the numbers once each, from left to right."""
    operands = list(itertools.permutations(range(num_numbers), num_operands))
    operators = list(itertools.product(_OPS, repeat=num_operands - 1))
    candidates = []
    for slots, ops in itertools.product(operands, operators):
        pairs = itertools.zip_longest(slots, ops)
        candidates.append([t for i, op in pairs for t in (_SLOT + i, op)][:-1])

    def values(numbers: np.ndarray) -> np.ndarray:
        columns = []
        for slots, ops in itertools.product(operands, operators):
            value = numbers[:, slots[0]]
            for i, op in zip(slots[1:], ops, strict=True):
                value = _OPS[op](value, numbers[:, i])
            columns.append(value)
        return np.stack(columns, axis=1)

    return Family(num_numbers, 12, _templates(candidates), values, True)


def _subset() -> Family:
    """All choices of six numbers."""
    chosen = np.array(list(itertools.product((0, 1), repeat=6)))
    words = np.where(chosen == 1, vocabulary.IN, vocabulary.OUT)
    return Family(6, 20, _templates(words), lambda numbers: numbers @ chosen.T, True)


_FAMILIES = {
    "sort": _ordering(_is_ascending),
    "arrange": _ordering(_starts_high),
    "pair": _expression(2, 6),
    "countdown3": _expression(3, 3),
    "subset": _subset(),
    "countdown4": _expression(4, 4),
}


def get(name: str) -> Family:
    """The family of this name.

    Args:
      name: one of `vocabulary.TASKS`.

    Returns:
      The family.

    Raises:
      ValueError: there is no such family.

    Example:
      >>> get("countdown3").templates.shape
      (54, 8)
    """
    if name not in _FAMILIES:
        raise ValueError(f"family {name!r} is unknown; choose of {', '.join(_FAMILIES)}")
    return _FAMILIES[name]


def draw_prompts(rng: np.random.Generator, name: str, num_prompts: int) -> np.ndarray:
    """Random prompts of a family, each target equally likely of those that its numbers can reach.

    Args:
      rng: the source of randomness.
      name: the family.
      num_prompts: how many.

    Returns:
      [num_prompts, PROMPT_LENGTH] prompts.

    Raises:
      ValueError: there is no such family.

    Example:
      >>> vocabulary.spell(draw_prompts(np.random.default_rng(0), "countdown3", 1)[0])
      'countdown3 40 12 4 3 _ _ _'
    """
    family = get(name)
    order = np.argsort(rng.random((num_prompts, family.largest)), axis=1)
    numbers = order[:, : family.num_numbers] + 1
    prompts = np.full((num_prompts, PROMPT_LENGTH), PADDING)
    prompts[:, 0] = TASKS[name]
    prompts[:, 2 : 2 + family.num_numbers] = numbers
    if family.has_target:
        values = family.values(numbers)
        reached = np.zeros((num_prompts, vocabulary.LARGEST_NUMBER + 1), bool)
        rows, _ = np.nonzero(inside := (values >= 1) & (values <= vocabulary.LARGEST_NUMBER))
        reached[rows, values[inside]] = True
        prompts[:, 1] = np.argmax(rng.random(reached.shape) * reached, axis=1)
    return prompts


def split_prompts(
    seed: int, names: Sequence[str], num_train: int, num_test: int
) -> tuple[np.ndarray, np.ndarray]:
    """Prompts to train on and others to test on, equally many of each family.

    No test prompt has the target and the numbers, in whatever order, of another or of one to train
    on.

    Args:
      seed: what the prompts are drawn by.
      names: the families.
      num_train: prompts of each family to train on; they may repeat.
      num_test: prompts of each family to test on.

    Returns:
      Prompts to train on [families * num_train, PROMPT_LENGTH], and to test on
      [families * num_test, PROMPT_LENGTH], family by family.

    Raises:
      ValueError: there is no such family, or it has too few prompts.

    Example:
      >>> train, test = split_prompts(0, ["sort", "pair"], num_train=50, num_test=2)
      >>> train.shape, [vocabulary.spell(prompt) for prompt in test[1:3]]
      ((100, 8), ['sort _ 13 10 2 11 1 12', 'pair 48 8 3 5 6 12 11'])
    """
    train, test = [], []
    for name in names:
        get(name)
        rng = np.random.default_rng([seed, TASKS[name]])
        held_out = _collect(rng, name, num_test, np.array([], np.int64), distinct=True)
        test.append(held_out)
        train.append(_collect(rng, name, num_train, _identities(held_out), distinct=False))
    return np.concatenate(train), np.concatenate(test)


def _collect(
    rng: np.random.Generator, name: str, number: int, excluded: np.ndarray, *, distinct: bool
) -> np.ndarray:
    """Prompts of which none is excluded."""
    found = np.zeros((0, PROMPT_LENGTH), int)
    for _ in range(_DRAWS):
        found = np.concatenate([found, draw_prompts(rng, name, number)])
        found = found[~np.isin(_identities(found), excluded)]
        if distinct:
            _, first = np.unique(_identities(found), return_index=True)
            found = found[np.sort(first)]
        if len(found) >= number:
            return found[:number]
    raise ValueError(
        f"{name} has too few prompts for {number} that differ: ask for fewer prompts to test on"
    )


def _identities(prompts: np.ndarray) -> np.ndarray:
    """One integer for each task, target and set of numbers."""
    ordered = np.concatenate([prompts[:, :2], np.sort(prompts[:, 2:], axis=1)], axis=1)
    return ordered.astype(np.int64) @ (vocabulary.SIZE ** np.arange(PROMPT_LENGTH, dtype=np.int64))


def right_answers(prompts: np.ndarray) -> Answers:
    """Every right answer to some prompts.

    Args:
      prompts: [num_prompts, PROMPT_LENGTH] prompts of any families.

    Returns:
      The `Answers`.

    Raises:
      ValueError: a prompt of no family, or one with too many right answers to list.

    Example:
      >>> answers = right_answers(np.array([[109, 24, 3, 8, 1, 105, 105, 105]]))
      >>> [vocabulary.spell(tokens) for tokens in answers.tokens[:3]]
      ['3 * 8 * 1', '3 * 1 * 8', '8 * 3 * 1']
    """
    prompts = np.asarray(prompts)
    owners, tokens = [], []
    for rows, name in _by_family(prompts):
        right = _is_right(prompts[rows], name)
        row, candidate = np.nonzero(right)
        owners.append(rows[row])
        tokens.append(_filled(prompts[rows][row], get(name).templates[candidate]))
    owner = np.concatenate(owners)
    check_listed(np.bincount(owner))
    order = np.argsort(owner, kind="stable")
    return Answers(owner[order], np.concatenate(tokens)[order])


def check_listed(counts: np.ndarray) -> None:
    """Refuse prompts with more right answers than can be listed.

    Args:
      counts: [num_prompts] how many there are.

    Raises:
      ValueError: naming the first such prompt.

    Example:
      >>> check_listed(np.array([1, 5040]))
      Traceback (most recent call last):
      ValueError: prompt 1 has 5040 right answers, which are too many to list (at most 1000): ...
    """
    if np.any(counts > MAX_ANSWERS):
        first = int(np.argmax(counts > MAX_ANSWERS))
        raise ValueError(
            f"prompt {first} has {counts[first]} right answers, which are too many to list (at "
            f"most {MAX_ANSWERS}): leave it out, or sample its responses"
        )


def well_formed_answers(rng: np.random.Generator, prompts: np.ndarray) -> np.ndarray:
    """A random candidate for each prompt, right or wrong.

    Args:
      rng: the source of randomness.
      prompts: [num_prompts, PROMPT_LENGTH] the prompts.

    Returns:
      [num_prompts, RESPONSE_LENGTH] the answers.

    Example:
      >>> prompts = np.array([[109, 24, 3, 8, 1, 105, 105, 105]])
      >>> vocabulary.spell(well_formed_answers(np.random.default_rng(0), prompts)[0])
      '1 + 8 + 3'
    """
    tokens = np.zeros((len(prompts), RESPONSE_LENGTH), int)
    for rows, name in _by_family(prompts):
        templates = get(name).templates
        chosen = templates[rng.integers(len(templates), size=len(rows))]
        tokens[rows] = _filled(prompts[rows], chosen)
    return tokens


def _by_family(prompts: np.ndarray) -> list[tuple[np.ndarray, str]]:
    """Rows of the prompts of each family."""
    known = np.isin(prompts[:, 0], list(TASKS.values()))
    if not np.all(known):
        token = prompts[np.argmin(known), 0]
        raise ValueError(
            f"token {token} opens the prompt of no family; those are {', '.join(TASKS)}"
        )
    rows = [(np.flatnonzero(prompts[:, 0] == token), name) for name, token in TASKS.items()]
    return [(found, name) for found, name in rows if len(found)]


def _is_right(prompts: np.ndarray, name: str) -> np.ndarray:
    """[prompts, candidates] which candidates are right."""
    family = get(name)
    values = family.values(prompts[:, 2 : 2 + family.num_numbers])
    return values == (prompts[:, 1:2] if family.has_target else 1)


def _filled(prompts: np.ndarray, templates: np.ndarray) -> np.ndarray:
    """Templates [n, RESPONSE_LENGTH] with the numbers of the prompts [n, PROMPT_LENGTH] in them."""
    slots = np.clip(templates - _SLOT, 0, None) + 2
    return np.where(templates >= _SLOT, np.take_along_axis(prompts, slots, axis=1), templates)
