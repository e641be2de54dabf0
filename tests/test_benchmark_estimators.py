"""The benchmark runs, writes its tables, and judges its targets by what it has stored."""

import json

import numpy as np
import pytest

from experiments import benchmark_estimators, reproduce
from experiments.analysis import benchmark_estimators as analysis
from experiments.common.configuration import resolve_config

TINY = {
    "num_groups": 50,
    "group_sizes": (8, 64),
    "num_samples": 600,
    "growing_group_sizes": (100, 600),
    "accuracy_group_sizes": (2, 20),
    "min_repeats": 1,
    "seconds_per_row": 0.0,
    "num_draws": 100,
    "estimators": ("maxpo",),
}


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    config = resolve_config("benchmark_estimators", "smoke", TINY)
    out_dir = tmp_path_factory.mktemp("benchmark")
    return out_dir, benchmark_estimators.run(config, out_dir, "python").dataset


def test_writes_numbers_and_figure_and_stands_on_the_page(result):
    folder, dataset = result[0] / "benchmark_estimators", result[1]
    numbers = json.loads((folder / "results.json").read_text())
    assert len(numbers["findings"]) == len(analysis.findings(dataset)) == 5
    assert (folder / "benchmark_estimators.png").stat().st_size > 10_000
    with pytest.raises(SystemExit) as exit_info:
        reproduce.main(["--only=maze_map", "--mode=smoke", f"--out_dir={result[0]}"])
    assert exit_info.value.code == 0
    page = (result[0] / "README.md").read_text().partition("\n## benchmark_estimators\n")[2]
    assert "![benchmark_estimators](benchmark_estimators/benchmark_estimators.png)" in page
    tables = page.partition("<details>")[2].partition("</details>")[0]
    assert analysis.tables(dataset) in tables
    assert "Measured on " in tables
    assert "| 8 |" in tables


def test_targets_are_judged_by_the_numbers(result):
    _, dataset = result
    places = {
        "seconds_per_sample": ("share_of_argsort", "at B = 8"),
        "memory_per_reward": ("cost", "times the rewards in memory"),
        "compile_seconds": ("cost", "s to compile"),
        "relative_error": ("float32", ""),
        "gradient_draws_per_second": ("gradient_draws", "with MaxPO alone"),
    }
    for variable, (name, where) in places.items():
        for factor in (1e-9, 1e9):
            changed = dataset.copy(deep=True)
            values = changed[variable]
            if variable == "seconds_per_sample":
                values.loc[{"algorithm": "maxpo"}] *= factor
            else:
                values *= factor
                if (other := f"growing_{variable}") in changed:
                    changed[other] *= 1e-9
            found = {one.name: one for one in analysis.findings(changed)}
            outcomes = {effect.where: effect.outcome for effect in found[name].effects}
            is_good = (factor > 1) == (variable == "gradient_draws_per_second")
            assert outcomes[where] == ("holds" if is_good else "does not hold"), name


def test_calls_take_turns():
    order = []
    calls = {name: lambda name=name: order.append(name) or np.zeros(1) for name in "ab"}
    seconds = benchmark_estimators.median_seconds(calls, min_repeats=20, seconds=0.0)
    turns = ["".join(order[start : start + 2]) for start in range(0, len(order), 2)]
    assert set(turns) == {"aa", "bb"}  # of which the second call is timed
    assert turns.count("aa") == turns.count("bb") == 20
    assert {turns[0], turns[1]} == {"aa", "bb"}
    assert turns[::2].count("aa") not in (0, 20)  # neither is always the first of its round
    assert set(seconds) == {"a", "b"}


def test_sizes_that_make_no_sense_are_refused():
    for name in ("group_sizes", "accuracy_group_sizes"):
        with pytest.raises(ValueError, match="MaxPO needs 2 or more"):
            benchmark_estimators.check(
                resolve_config("benchmark_estimators", "smoke", {name: (1,)})
            )
