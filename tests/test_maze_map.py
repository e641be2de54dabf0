"""The map of the maze against the path it was built from."""

import numpy as np
import pytest

from experiments import maze_map
from experiments.common.configuration import resolve_config
from experiments.experiment import run
from maxpo_jax.mazes import builders as maze_builders


@pytest.mark.parametrize("dead_end_length", [0, 2])
def test_map_has_the_cells_and_links_of_the_path(dead_end_length):
    path = "11011"
    cells = maze_map.read_map(maze_builders.from_path(path, dead_end_length), dead_end_length)
    on_path = cells.isel(cell=cells.on_path.values == 1)
    rows = np.concatenate([[0], np.cumsum([action == "0" for action in path])])
    cols = np.concatenate([[0], np.cumsum([action == "1" for action in path])])
    np.testing.assert_array_equal(on_path.row, rows)
    np.testing.assert_array_equal(on_path.col, cols)
    np.testing.assert_array_equal(on_path.earned, np.arange(6))
    lengths = [min(dead_end_length, 5 - index - 1) for index in range(5)]
    assert cells.sizes["cell"] == 6 + sum(lengths)
    # Every cell with a way on has two actions; the last cell of a dead end has none.
    acting = 5 + sum(max(length - 1, 0) for length in lengths)
    assert cells.sizes["link"] == 2 * acting
    assert int(cells.link_on_path.sum()) == 5


def test_no_two_cells_lie_on_each_other():
    cells = maze_map.read_map(maze_builders.from_path("1101110010", 9), 9)
    places = set(zip(cells.row.values.tolist(), cells.col.values.tolist(), strict=True))
    assert len(places) == cells.sizes["cell"]


def test_smoke_run_draws_and_its_claims_hold(tmp_path):
    result = run(maze_map.EXPERIMENT, resolve_config("maze_map", "smoke", {}), tmp_path)
    assert (result.directory / "maze_map.png").stat().st_size > 5_000
    assert [claim.holds for claim in result.claims] == [True, True]


def test_bad_path_is_refused_before_anything_runs():
    with pytest.raises(ValueError, match="character '2' at index 1"):
        maze_map.parts(resolve_config("maze_map", "smoke", {"path": "121"}))
