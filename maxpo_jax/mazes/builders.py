"""Mazes from a path string, from a drawing, and at random.

In a drawing, action 1 goes right and action 0 goes down:

    S-o-o-o-o
    |     |
    o     o-G

is the maze whose correct path is "11101", with a dead end of one step at the first state and one
of one step where the path turns down. A step against the wall earns nothing and ends the episode.
"""

import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from maxpo_jax.estimators import checks
from maxpo_jax.mazes.maze import (
    NUM_ACTIONS,
    Maze,
    action_array,
    is_action,
    may_be_no_action,
)

_CELLS = "SoG"
_RIGHT, _DOWN = "-", "|"

Cell = tuple[int, int]


def from_actions(actions: ArrayLike, dead_end_length: int = 0) -> Maze:
    """Builds the maze whose correct path takes the given actions.

    Off each state of the path, the other action enters a dead end: a straight stretch, on which the
    same action is valid again, of min(dead_end_length, steps left to the goal - 1) steps, so that
    the goal alone has the largest return. Of length 0, it is the wall.

    States 0 to depth are the path, start to goal; the cells of the dead ends follow, in the order
    of the path; the wall is the last. Cells that a dead end near the goal is too short for are
    padding: nothing leads there.

    Args:
      actions: [depth] integer or bool, traced or not; `jax.vmap` over it gives a batch of mazes.
      dead_end_length: static.

    Returns:
      A maze of depth + 2 + depth * dead_end_length states.

    Raises:
      ValueError: `actions` is not a vector with an entry, or not of integers or bools; outside
        jit, one of them is neither 0 nor 1 (inside jit every reward of that maze is NaN); or
        `dead_end_length` is not a whole number of 0 or more.

    Example:
      >>> maze = from_actions(jnp.array([1, 0]))
      >>> maze.transitions.tolist()
      [[3, 1], [2, 3], [2, 2], [3, 3]]
    """
    array = action_array("actions are", actions)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"actions must be a vector of at least one action, not {array.shape}")
    dead_end_length = _whole_number("dead_end_length", dead_end_length)
    if dead_end_length < 0:
        raise ValueError(f"dead_end_length is {dead_end_length}; it must be 0 or more")
    maze = _straight_maze(array.astype(jnp.int32), dead_end_length)
    if may_be_no_action(array):
        return _nan_unless(jnp.all(is_action(array)), maze)
    return maze


@functools.partial(jax.jit, static_argnames="dead_end_length")
def _straight_maze(actions: Array, dead_end_length: int) -> Maze:
    """Builds the tables of `from_actions`."""
    depth = actions.size
    goal = depth
    num_states = depth + 2 + depth * dead_end_length
    wall = num_states - 1

    path = jnp.arange(depth, dtype=jnp.int32)
    lengths = jnp.minimum(dead_end_length, depth - path - 1)
    first_cell = depth + 1 + path * dead_end_length
    offset = jnp.arange(dead_end_length, dtype=jnp.int32)[None, :]
    cells = first_cell[:, None] + offset
    inside = offset < lengths[:, None] - 1

    transitions = jnp.full((num_states, NUM_ACTIONS), wall, jnp.int32)
    transitions = transitions.at[path, actions].set(path + 1)
    transitions = transitions.at[path, 1 - actions].set(jnp.where(lengths > 0, first_cell, wall))
    onward = jnp.broadcast_to(1 - actions[:, None], cells.shape)
    transitions = transitions.at[cells, onward].set(jnp.where(inside, cells + 1, wall))
    terminal = jnp.ones(num_states, bool).at[path].set(False).at[cells].set(~inside)
    return _tables(transitions, terminal, start=0, goal=goal, max_steps=depth)


def from_path(path: str, dead_end_length: int = 0) -> Maze:
    """Builds the maze whose correct path is written as a string of actions.

    Args:
      path: one character, 0 or 1, for each step from the start to the goal.
      dead_end_length: as for `from_actions`.

    Returns:
      The maze, as `from_actions` numbers its states.

    Raises:
      ValueError: the path is not a string, is empty, or has a character that is not an action.

    Example:
      >>> int(from_path("1110111011").goal)
      10
    """
    if not isinstance(path, str):
        raise ValueError(
            f"the path {path!r} is not a string; write one character, 0 or 1, for each step, or "
            "give a vector of actions to from_actions"
        )
    if not path:
        raise ValueError("the path is empty; write one character, 0 or 1, for each step")
    for index, character in enumerate(path):
        if character not in "01":
            raise ValueError(
                f"character {character!r} at index {index} of path {path!r} is not an action; "
                "use 0 or 1"
            )
    return from_actions(jnp.array([int(character) for character in path]), dead_end_length)


def random_maze(key: Array, depth: int, bias: float | Array, dead_end_length: int = 0) -> Maze:
    """Draws a maze whose correct path has a given share of action 1, in random order.

    Args:
      key: consumed.
      depth: steps from the start to the goal; static.
      bias: share of action 1 on the correct path, in [0, 1]; rounded to a whole number of steps.
      dead_end_length: as for `from_actions`; static.

    Returns:
      The maze; `jax.vmap` over keys, or over biases, gives a batch of mazes of one shape.

    Raises:
      ValueError: the depth is not a positive whole number, or the bias is not a share; a traced
        bias that is not makes every reward NaN.

    Example:
      >>> maze = random_maze(jax.random.key(0), depth=10, bias=0.8)
      >>> correct_path(maze).count("1")
      8
    """
    depth = _whole_number("depth", depth)
    if depth < 1:
        raise ValueError(f"depth is {depth}; the goal must be at least one step away")
    traced = checks.is_traced(bias)
    if jnp.ndim(bias) != 0 or (not traced and not 0 <= bias <= 1):
        raise ValueError(f"bias is {bias}; it is a share, in [0, 1]")
    num_ones = jnp.round(jnp.asarray(bias) * depth).astype(jnp.int32)
    actions = jax.random.permutation(key, jnp.arange(depth) < num_ones)
    maze = from_actions(actions, dead_end_length)
    return _nan_unless((bias >= 0) & (bias <= 1), maze) if traced else maze


def from_drawing(drawing: str) -> Maze:
    """Builds a maze from a drawing: S start, o cell, G goal, - action 1, | action 0.

    Cells stand in every second column of every second line, so that a link has its own place
    between two cells. A cell without links, other than the goal, is a dead end.

    Args:
      drawing: the lines; blank lines around them and a common indentation do not matter.

    Returns:
      The maze; its states are the cells in the order of their distance from the start, then the
      wall.

    Raises:
      ValueError: the drawing has an unknown character, no start or goal or several, a link that
        lacks a cell, a cell that cannot be reached from the start, a way on from the goal, or
        more than one way to the goal. The message names the line and the column.

    Example:
      >>> maze = from_drawing('''
      ...     S-o-o
      ...     | |
      ...     o o-G
      ... ''')
      >>> correct_path(maze)
      '101'
    """
    lines = _strip_frame(drawing)
    cells = _read_cells(lines)
    links = _read_links(lines, cells)
    start, goal = _only(cells, "S"), _only(cells, "G")
    order = _reached(start, links)
    for cell in cells:
        if cell not in order:
            raise ValueError(f"the cell at {_place(cell)} cannot be reached from the start")
    if links[goal]:
        raise ValueError(f"a link leads on from the goal at {_place(goal)}; the goal is the end")
    _check_one_way(order, links, goal)
    return _number_cells(order, links, start, goal)


def pad(maze: Maze, num_states: int) -> Maze:
    """Adds states that nothing leads to, so that mazes of different sizes can be stacked.

    Args:
      maze: the maze.
      num_states: the states wanted; static.

    Returns:
      The same maze, with more states at the end; each of them is terminal.

    Raises:
      ValueError: the maze already has more states.

    Example:
      >>> pad(from_path("10"), 6).terminal.shape
      (6,)
    """
    present = maze.terminal.shape[0]
    if present > num_states:
        raise ValueError(f"the maze has {present} states, more than num_states = {num_states}")
    padding = jnp.arange(present, num_states, dtype=jnp.int32)
    itself = jnp.stack([padding] * NUM_ACTIONS, axis=1)
    return maze._replace(
        transitions=jnp.concatenate([maze.transitions, itself]),
        rewards=jnp.pad(maze.rewards, ((0, padding.size), (0, 0))),
        terminal=jnp.pad(maze.terminal, (0, padding.size), constant_values=True),
    )


def stack(mazes: Sequence[Maze]) -> Maze:
    """Stacks mazes into one batch, for `jax.vmap`; smaller ones are padded.

    Args:
      mazes: at least one maze.

    Returns:
      A maze each of whose arrays has a leading axis of `len(mazes)`.

    Raises:
      ValueError: there is no maze.

    Example:
      >>> stack([from_path("10"), from_path("1110")]).transitions.shape
      (2, 6, 2)
    """
    if not mazes:
        raise ValueError("there is no maze to stack; give at least one")
    num_states = max(maze.terminal.shape[0] for maze in mazes)
    padded = [pad(maze, num_states) for maze in mazes]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *padded)


def correct_path(maze: Maze) -> str:
    """Reads the one way from the start to the goal off the tables.

    Args:
      maze: one maze, not traced.

    Returns:
      Its actions, as a string of 0 and 1.

    Raises:
      ValueError: the tables have no way to the goal, or several.

    Example:
      >>> correct_path(from_path("1110111011", dead_end_length=2))
      '1110111011'
    """
    transitions, terminal = np.asarray(maze.transitions), np.asarray(maze.terminal)
    rewards = np.asarray(maze.rewards)
    paths = [("", int(maze.start))]
    found = []
    while paths:
        path, state = paths.pop()
        if state == int(maze.goal):
            found.append(path)
        if terminal[state] or len(path) >= int(maze.max_steps):
            continue
        paths += [
            (path + str(action), int(transitions[state, action]))
            for action in range(NUM_ACTIONS)
            if rewards[state, action] > 0
        ]
    if len(found) != 1:
        raise ValueError(f"the maze has {len(found)} ways to the goal; it must have exactly one")
    return found[0]


def _tables(transitions: Array, terminal: Array, *, start: int, goal: int, max_steps: int) -> Maze:
    """Completes the tables: terminal states absorb, and each step not into the wall earns 1."""
    num_states = terminal.shape[0]
    wall = num_states - 1
    states = jnp.arange(num_states, dtype=jnp.int32)[:, None]
    return Maze(
        transitions=jnp.where(terminal[:, None], states, transitions),
        rewards=((transitions != wall) & ~terminal[:, None]).astype(jnp.float32),
        terminal=terminal,
        start=jnp.asarray(start, jnp.int32),
        goal=jnp.asarray(goal, jnp.int32),
        max_steps=jnp.asarray(max_steps, jnp.int32),
    )


def _whole_number(name: str, value: int) -> int:
    """Refuses a fraction of a step."""
    try:
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{name} is {value}; it must be a whole number") from None


def _nan_unless(valid: ArrayLike, maze: Maze) -> Maze:
    """Spoils every reward of a maze that was built from traced numbers that are not allowed."""
    return maze._replace(rewards=jnp.where(valid, maze.rewards, jnp.nan))


def _strip_frame(drawing: str) -> list[str]:
    """Removes blank lines around the drawing and the indentation all its lines share."""
    lines = [line.rstrip() for line in drawing.expandtabs().splitlines()]
    filled = [index for index, line in enumerate(lines) if line]
    if not filled:
        raise ValueError("the drawing is empty; it needs a start S and a goal G")
    lines = lines[filled[0] : filled[-1] + 1]
    indentation = min(len(line) - len(line.lstrip()) for line in lines if line)
    return [line[indentation:] for line in lines]


def _place(cell: Cell) -> str:
    """Names the place of a cell in its drawing, from 1."""
    row, col = cell
    return f"line {2 * row + 1}, column {2 * col + 1}"


def _read_cells(lines: list[str]) -> dict[Cell, str]:
    """Finds the cells, and refuses characters that do not belong where they stand."""
    cells = {}
    for line_index, line in enumerate(lines):
        for column, character in enumerate(line):
            odd_row, odd_col = line_index % 2, column % 2
            allowed = {(0, 0): _CELLS, (0, 1): _RIGHT, (1, 0): _DOWN, (1, 1): ""}[odd_row, odd_col]
            if character != " " and character not in allowed:
                raise ValueError(
                    f"character {character!r} at line {line_index + 1}, column {column + 1} of "
                    f"the drawing is not allowed there; allowed: {' '.join(allowed) or 'a blank'}"
                )
            if character in _CELLS:
                cells[line_index // 2, column // 2] = character
    return cells


def _read_links(lines: list[str], cells: dict[Cell, str]) -> dict[Cell, dict[int, Cell]]:
    """Finds the actions that are valid in each cell and where they lead."""
    links: dict[Cell, dict[int, Cell]] = {cell: {} for cell in cells}
    for line_index, line in enumerate(lines):
        for column, character in enumerate(line):
            if character not in (_RIGHT, _DOWN):
                continue
            row, col = line_index // 2, column // 2
            action, target = (1, (row, col + 1)) if character == _RIGHT else (0, (row + 1, col))
            if (row, col) not in cells or target not in cells:
                raise ValueError(
                    f"the link {character!r} at line {line_index + 1}, column {column + 1} of the "
                    "drawing lacks a cell at one of its ends; put an o there"
                )
            links[row, col][action] = target
    return links


def _only(cells: dict[Cell, str], character: str) -> Cell:
    """Finds the one cell of a kind."""
    name = {"S": "start", "G": "goal"}[character]
    places = [cell for cell, kind in cells.items() if kind == character]
    if not places:
        raise ValueError(f"the drawing has no {name}; mark it with {character}")
    if len(places) > 1:
        raise ValueError(f"the drawing has a second {name} at {_place(places[1])}; keep one")
    return places[0]


def _reached(start: Cell, links: dict[Cell, dict[int, Cell]]) -> list[Cell]:
    """Lists the cells that can be reached, by their distance from the start."""
    order = [start]
    for cell in order:
        order += [target for _, target in sorted(links[cell].items()) if target not in order]
    return order


def _check_one_way(order: list[Cell], links: dict[Cell, dict[int, Cell]], goal: Cell) -> None:
    """Refuses a goal that is not reached by exactly one way; names where two ways meet."""
    ways = dict.fromkeys(order, 0)
    ways[order[0]] = 1
    meeting = {}
    for cell in order:
        for target in links[cell].values():
            meeting[target] = ways[target] > 0
            ways[target] += ways[cell]
    if ways[goal] == 1:
        return
    leads_to_goal = {goal}
    for cell in reversed(order):
        if any(target in leads_to_goal for target in links[cell].values()):
            leads_to_goal.add(cell)
    place = next(cell for cell in order if cell in leads_to_goal and meeting.get(cell))
    raise ValueError(
        f"{ways[goal]} correct paths lead to the goal, and two of them meet at {_place(place)}; "
        "remove links until one is left"
    )


def _number_cells(
    order: list[Cell], links: dict[Cell, dict[int, Cell]], start: Cell, goal: Cell
) -> Maze:
    """Turns cells and links into tables."""
    index = {cell: number for number, cell in enumerate(order)}
    wall = len(order)
    transitions = np.full((wall + 1, NUM_ACTIONS), wall, np.int32)
    for cell, targets in links.items():
        for action, target in targets.items():
            transitions[index[cell], action] = index[target]
    terminal = np.array([not links[cell] for cell in order] + [True])
    longest = max(row + col for row, col in order) - sum(start)
    return _tables(
        jnp.asarray(transitions),
        jnp.asarray(terminal),
        start=index[start],
        goal=index[goal],
        max_steps=longest,
    )
