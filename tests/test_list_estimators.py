"""The facts table, as printed."""

import pytest

from experiments import list_estimators
from maxpo_jax import estimators


def test_every_estimator_has_a_line_in_each_format(capsys):
    for arguments in ([], ["--format=markdown"]):
        assert list_estimators.run(arguments) == 0
        lines = capsys.readouterr().out.splitlines()
        for name in (*estimators.names(), *estimators.names(off_policy=True)):
            assert sum(name in line.replace("|", " ").replace("`", " ").split() for line in lines)


def test_rows_say_what_is_known(capsys):
    rows = {name: list_estimators.row(estimators.get(name)) for name in estimators.names()}
    maxpo = ("J_K", "1 (K = 4)", "1.17, 1.31, 1.67", "yes", "yes", "yes", "1 <= k <= B - 1")
    assert rows["maxpo"][1:8] == maxpo
    assert rows["grpo"][1:7] == ("nothing (meant for J_1)", "-", "-", "yes", "yes", "no")
    assert rows["center_u"][2] == "0.5 (K = 4)"
    assert rows["tang_leave_one_out"][2] == "1 (K = 8)"
    assert rows["rspo"][0] == "rspo = ei"
    ei = ("J_K", "1 (K = 4)", "1.11, 2, 10", "no", "yes", "yes", "2 <= k <= B")
    assert rows["rspo"][1:8] == ei
    assert rows["maxrl"][5:7] == ("-", "-")
    assert rows["pass_at_k_training_full"][8] == "real, draws"


def test_variance_over_the_floor_is_that_of_the_target_and_of_the_unbiased_multiple():
    ratios = {name: list_estimators.over_floor(estimators.get(name)) for name in estimators.names()}
    assert ratios["rloo"] == ratios["dr_grpo"] == "1.14, 1.14, 1.14"  # B/(B-1) at every p
    assert ratios["reinforce"] == ratios["tang_leave_one_out"] == "1.11, 2, 10"  # 1/(1-p)
    assert ratios["center_u"] == ratios["maxpo"]
    assert ratios["maxrl"] == ratios["pass_at_k_training_full"] == ratios["tang_mean_reward"] == "-"


def test_an_alias_names_its_original():
    lines = [line.split("|") for line in list_estimators.table(markdown=True).splitlines()]
    assert " `pkpo_binary` = `pkpo_s` " in [line[1] for line in lines]


def test_mistakes_are_one_line(capsys):
    with pytest.raises(SystemExit) as exit_:
        list_estimators.main(["--format=html"])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "markdown" in error


def test_help(capsys):
    assert list_estimators.run(["--help"]) == 0
    assert "--format" in capsys.readouterr().out
