"""The benchmark runs, writes its tables, and judges its targets by what it has stored."""

import json

import numpy as np
import pytest

from experiments import benchmark_estimators
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


def test_writes_tables_numbers_and_figure(result):
    folder, dataset = result[0] / "benchmark_estimators", result[1]
    tables = (folder / "table.md").read_text()
    assert "Measured on " in tables
    assert "| 8 |" in tables
    numbers = json.loads((folder / "results.json").read_text())
    assert len(numbers["findings"]) == len(analysis.findings(dataset)) == 8
    assert (folder / "benchmark_estimators.png").stat().st_size > 10_000


def test_targets_are_judged_by_the_numbers(result):
    _, dataset = result
    verdicts = {"share_of_argsort": "seconds_per_sample", "memory": "memory_per_reward"}
    verdicts |= {"compilation": "compile_seconds", "float32": "relative_error"}
    for name, variable in verdicts.items():
        for factor, holds in ((1e-9, True), (1e9, False)):
            changed = dataset.copy(deep=True)
            values = changed[variable]
            if variable == "seconds_per_sample":
                values.loc[{"algorithm": "maxpo"}] *= factor
            else:
                values *= factor
                if (other := f"growing_{variable}") in changed:
                    changed[other] *= 1e-9
            found = {one.name: one for one in analysis.findings(changed)}
            assert found[name].verdict == ("holds" if holds else "does not hold"), name


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
