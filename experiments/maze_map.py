"""The biased maze as cells and links, read off its tables."""

import functools
from collections.abc import Callable

import numpy as np
import xarray as xr
from ml_collections import ConfigDict

from experiments import experiment
from experiments.drawings import maze_map as drawing
from maxpo_jax.mazes import builders as maze_builders
from maxpo_jax.mazes.maze import NUM_ACTIONS, Maze

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


def read_map(maze: Maze, dead_end_length: int) -> xr.Dataset:
    """Walks the maze from its start and notes every cell and every action in it."""
    transitions, rewards = np.asarray(maze.transitions), np.asarray(maze.rewards)
    terminal, goal = np.asarray(maze.terminal), int(maze.goal)
    path = maze_builders.correct_path(maze)
    cells, links = [], []
    waiting = [(int(maze.start), 0, 0, 0, True)]
    while waiting:
        state, row, col, earned, on_path = waiting.pop(0)
        cells.append((row, col, earned, state == goal, terminal[state], on_path))
        for action in range(0 if terminal[state] else NUM_ACTIONS):
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


def _of_length(config: ConfigDict, dead_end_length: int) -> xr.Dataset:
    return read_map(maze_builders.from_path(config.path, dead_end_length), dead_end_length)


def parts(config: ConfigDict) -> dict[str, Callable[[], xr.Dataset]]:
    """One part per length of the dead ends."""
    for length in config.dead_end_lengths:
        maze_builders.from_path(config.path, length)
    return {
        f"dead_end_length={length}": functools.partial(_of_length, config, length)
        for length in config.dead_end_lengths
    }


def combine(config: ConfigDict, pieces: dict[str, xr.Dataset]) -> xr.Dataset:
    """All cells and all links of all mazes."""
    cells = xr.concat([piece.drop_dims("link") for piece in pieces.values()], dim="cell")
    links = xr.concat([piece.drop_dims("cell") for piece in pieces.values()], dim="link")
    dataset = xr.merge([cells, links])
    for variable, name in (CELL_NAMES | LINK_NAMES).items():
        dataset[variable].attrs.update(long_name=name, units="1")
    return dataset


EXPERIMENT = experiment.Experiment(
    name="maze_map",
    parts=parts,
    combine=combine,
    draw=drawing.draw,
    claims=drawing.claims,
    caption=drawing.caption,
)

if __name__ == "__main__":
    experiment.main(EXPERIMENT)
