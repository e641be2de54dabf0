"""The biased maze as cells and links, read off its tables."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.patches import Circle
from ml_collections import ConfigDict

from experiments.analysis import effects as comparisons
from experiments.analysis import labels
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding
from experiments.engine.figure import Figure

if TYPE_CHECKING:
    from maxpo_jax.mazes.maze import Maze

NAME = "maze_map"
RADIUS = 0.3
INCHES_PER_CELL = 0.46  # where the page is wide enough
MARGIN = 0.7  # cells around the outermost ones
PATH_COLOR = style.VERMILLION
STEPS = {0: (1, 0), 1: (0, 1)}  # rows, columns


CELL_NAMES = {
    "row": "row of the cell, downwards",
    "col": "column of the cell, to the right",
    "earned": "return on arrival in the cell",
    "at_goal": "whether the cell is the goal",
    "ends": "whether the episode ends in the cell",
    "on_path": "whether the cell lies on the correct path",
}
LINK_NAMES = {
    "link_row": "row of the cell in which the action is taken",
    "link_col": "column of the cell in which the action is taken",
    "action": "the action: 1 goes right, 0 goes down",
    "valid": "whether the action is a forward step; if not, it hits the wall",
    "link_on_path": "whether the action is the one of the correct path",
}


def read_map(maze: "Maze", dead_end_length: int) -> xr.Dataset:
    """Walks the maze from its start and notes every cell and every action in it."""
    from maxpo_jax.mazes import builders  # JAX comes with it

    transitions, rewards = np.asarray(maze.transitions), np.asarray(maze.rewards)
    terminal, goal = np.asarray(maze.terminal), int(maze.goal)
    path = builders.correct_path(maze)
    cells, links = [], []
    waiting = [(int(maze.start), 0, 0, 0, True)]
    while waiting:
        state, row, col, earned, on_path = waiting.pop(0)
        cells.append((row, col, earned, state == goal, terminal[state], on_path))
        for action in range(0 if terminal[state] else len(STEPS)):
            valid = bool(rewards[state, action])
            follows = on_path and path[row + col] == str(action)
            links.append((row, col, action, valid, follows))
            if valid:
                target = int(transitions[state, action])
                step = (row + 1, col) if action == 0 else (row, col + 1)
                waiting.append((target, *step, earned + 1, follows))
    variables = {
        **{name: ("cell", list(column)) for name, column in _columns(CELL_NAMES, cells)},
        **{name: ("link", list(column)) for name, column in _columns(LINK_NAMES, links)},
    }
    of_cell, of_link = np.full(len(cells), dead_end_length), np.full(len(links), dead_end_length)
    coordinates = {"cell_dead_end_length": ("cell", of_cell)}
    return xr.Dataset(variables).assign_coords(
        coordinates | {"link_dead_end_length": ("link", of_link)}
    )


def _columns(names: dict[str, str], rows: list[tuple]) -> list[tuple[str, np.ndarray]]:
    return list(zip(names, np.array(rows, dtype=np.int64).T, strict=True))


def summarize(config: ConfigDict, grids: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """All cells and all links of the mazes, one for each length of the dead ends."""
    from maxpo_jax.mazes import builders  # JAX comes with it

    lengths = config.dead_end_lengths
    maps = [read_map(builders.from_path(config.path, length), length) for length in lengths]
    cells = xr.concat([one.drop_dims("link") for one in maps], dim="cell")
    links = xr.concat([one.drop_dims("cell") for one in maps], dim="link")
    return labels.label(xr.merge([cells, links]), CELL_NAMES | LINK_NAMES)


def _of_length(dataset: xr.Dataset, length: int) -> xr.Dataset:
    return dataset.isel(
        cell=dataset.cell_dead_end_length.values == length,
        link=dataset.link_dead_end_length.values == length,
    )


def draw(dataset: xr.Dataset) -> Drawing:
    """One map per length of the dead ends, below each other."""
    lengths = list(stored_config(dataset).dead_end_lengths)
    maps = [_of_length(dataset, length) for length in lengths]
    widest = max(int(one.col.max()) for one in maps) + 2 * MARGIN
    heights = [int(one.row.max()) + 2 * MARGIN for one in maps]
    size = min(INCHES_PER_CELL, style.PAGE / widest)
    figure = Drawing(figsize=(size * widest, size * sum(heights) + 0.28 * len(maps)))
    axes = figure.subplots(len(maps), 1, squeeze=False, height_ratios=heights)[:, 0]
    for ax, one, length, letter in zip(axes, maps, lengths, "abcdefgh", strict=False):
        _draw_map(ax, one)
        ax.set_xlim(-MARGIN, widest - MARGIN)
        word = "no dead ends" if length == 0 else f"dead ends of up to {length} steps"
        style.panel_title(ax, word, letter if len(maps) > 1 else "")
    return figure


def _draw_map(ax: Axes, one: xr.Dataset) -> None:
    for index in range(one.sizes["link"]):
        _draw_link(ax, one.isel(link=index))
    for index in range(one.sizes["cell"]):
        _draw_cell(ax, one.isel(cell=index))
    start, goal = (
        (0, 0),
        next(
            (int(one.row[i]), int(one.col[i])) for i in range(one.sizes["cell"]) if one.at_goal[i]
        ),
    )
    for (row, col), text in ((start, "start"), (goal, "goal")):
        ax.annotate(text, (col, row), (0, 13), textcoords="offset points", ha="center")
    ax.set_aspect("equal")
    ax.set_ylim(int(one.row.max()) + MARGIN, -MARGIN)
    ax.axis("off")


def _draw_link(ax: Axes, link: xr.Dataset) -> None:
    row, col, action = int(link.link_row), int(link.link_col), int(link.action)
    down, right = STEPS[action]
    on_path, valid = bool(link.link_on_path), bool(link.valid)
    color = PATH_COLOR if on_path else style.GRAY
    length = 1 - RADIUS if valid else 0.52
    arrow: dict[str, Any] = {"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0}
    arrow["linewidth"] = 1.8 if on_path else 0.9
    if not valid:
        arrow |= {"arrowstyle": "|-|,widthA=0,widthB=0.28", "linestyle": ":"}
    start = (col + RADIUS * right, row + RADIUS * down)
    end = (col + length * right, row + length * down)
    ax.annotate("", end, start, arrowprops=arrow)
    if valid:
        middle = (col + 0.5 * right, row + 0.5 * down)
        offset = (0, 3) if action == 1 else (4, 0)
        ax.annotate(
            str(action),
            middle,
            offset,
            textcoords="offset points",
            color=color,
            fontsize=style.SMALLEST_TEXT,
            ha="center" if action == 1 else "left",
            va="bottom" if action == 1 else "center",
        )


def _draw_cell(ax: Axes, cell: xr.Dataset) -> None:
    row, col = int(cell.row), int(cell.col)
    on_path, at_goal = bool(cell.on_path), bool(cell.at_goal)
    face = PATH_COLOR if at_goal else ("#E4E4E4" if bool(cell.ends) else "white")
    ax.add_patch(
        Circle(
            (col, row),
            RADIUS,
            facecolor=face,
            edgecolor=PATH_COLOR if on_path else style.GRAY,
            linewidth=1.5 if on_path else 0.9,
        )
    )
    ax.text(
        col,
        row,
        str(int(cell.earned)),
        ha="center",
        va="center",
        fontsize=style.SMALLEST_TEXT,
        color="white" if at_goal else "black",
    )


def findings(dataset: xr.Dataset) -> list[Finding]:
    """Where one action alone leads, and that no other walk is worth the path to the goal."""
    maps = {n: _of_length(dataset, n) for n in stored_config(dataset).dead_end_lengths}
    goal = {n: int(one.earned.where(one.at_goal == 1).max()) for n, one in maps.items()}
    greedy = {n: _return_of_one_action(one, 1) for n, one in maps.items()}
    elsewhere = {n: int(one.earned.where(one.at_goal == 0).max()) for n, one in maps.items()}
    walks = {n: int(one.at_goal.sum()) for n, one in maps.items()}
    return [
        Finding(
            NAME,
            "one_action_stops",
            "Action 1 alone, which is mostly right, never reaches the goal",
            [comparisons.exact(_with(n), greedy[n], holds=greedy[n] < goal[n]) for n in maps],
            "return of always taking action 1",
            "; ".join(f"return {greedy[n]} of {goal[n]} {_with(n)}" for n in maps),
        ),
        Finding(
            NAME,
            "goal_is_best",
            "One walk alone reaches the goal, and no other has as large a return",
            [
                comparisons.exact(
                    _with(n), elsewhere[n], holds=walks[n] == 1 and elsewhere[n] < goal[n]
                )
                for n in maps
            ],
            "largest return elsewhere",
            "; ".join(f"at most {elsewhere[n]} elsewhere {_with(n)}" for n in maps),
        ),
    ]


def _with(dead_end_length: int) -> str:
    return f"with dead ends of {dead_end_length}" if dead_end_length else "without dead ends"


def _return_of_one_action(one: xr.Dataset, action: int) -> int:
    """The return of taking one action for ever."""
    down, right = STEPS[action]
    valid = {
        (int(row), int(col))
        for row, col, taken, works in zip(
            one.link_row.values,
            one.link_col.values,
            one.action.values,
            one.valid.values,
            strict=True,
        )
        if taken == action and works
    }
    steps = 0
    while (steps * down, steps * right) in valid:
        steps += 1
    return steps


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    config = stored_config(dataset)
    return (
        f"The biased maze with correct path {config.path}. Circles are states, with the return on "
        f"arrival; action 1 goes right and action 0 goes down; a dotted stub is an action against "
        f"the wall, which earns nothing and ends the episode; gray states end it, too. In red: the "
        f"one correct path from the start to the goal, {len(config.path)} steps, of which "
        f"{config.path.count('1')} take action 1."
    )


def check(config: ConfigDict) -> None:
    """Refuse what is no path."""
    if not config.path or set(config.path) - set("01"):
        raise ValueError(f"path is {config.path!r}; write one action, 0 or 1, for each step")
    if not config.dead_end_lengths or min(config.dead_end_lengths) < 0:
        raise ValueError("dead_end_lengths must hold lengths of 0 or more")


FIGURE = Figure(
    name="maze_map",
    question="What does the biased maze look like?",
    grids={},
    summarize=summarize,
    draw=draw,
    findings=findings,
    caption=caption,
    check=check,
)
