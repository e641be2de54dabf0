"""The command that checks an estimator: what it prints, stores, and exits with."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import check_estimator, readme
from experiments.common.errors import UserError
from maxpo_jax import estimators
from maxpo_jax.report_card import edges, expectation, symmetry, variance
from maxpo_jax.report_card.card import paragraph
from maxpo_jax.report_card.subject import from_function

DEFECTS = Path(__file__).with_name("planted_defects.py")


def run(*arguments):
    return check_estimator.run(list(arguments))


def test_claims_that_hold_exit_with_zero(capsys, tmp_path):
    path = tmp_path / "cards" / "card.json"
    claims = "unbiased,centered,shift_invariant"
    status = run(
        f"--estimator={DEFECTS}:right",
        f"--claims={claims}",
        f"--json={path}",
        f"--figure={path.with_suffix('.png')}",
    )
    assert status == check_estimator.HOLDS
    printed = capsys.readouterr().out
    assert "planted_defects.py:right: group size B = 5, K = 2" in printed
    assert printed.count("holds\n") == 3
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    stored = json.loads(path.read_text())
    assert stored["claims"] == claims.split(",")
    assert stored["verdicts"]["unbiased"]["holds"] is True


def test_a_claim_that_does_not_exits_with_one_and_names_its_counterexample(capsys):
    arguments = (f"--estimator={DEFECTS}:no_baseline", "--claims=centered,unbiased", "--k=2")
    assert run(*arguments) == check_estimator.BROKEN
    printed = capsys.readouterr().out
    assert "claim centered: DOES NOT HOLD" in printed
    assert "smallest counterexample: rewards (0, 0, 1), k = 2" in printed
    assert "got (0, 0, 1), expected a sum of 0" in printed
    assert "claim unbiased: holds" in printed


def test_what_cannot_be_judged_is_a_fact_unless_it_is_claimed():
    estimator = f"--estimator={DEFECTS}:right"
    assert run(estimator, "--claims=unbiased") == check_estimator.HOLDS
    assert run(estimator, "--claims=jit") == check_estimator.BROKEN


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--estimator=SPEC is missing"),
        (["--estimator=maxpo", "--claims=unbiassed"], "did you mean unbiased"),
        (["--estimator=maxpo", "--k=5"], "k = 5 does not fit group_size = 5"),
        (["--estimator=maxpo", "--k=9"], "1 <= k <= group_size"),
        (["--estimator=maxpo", "--k=two"], "k"),
        (["--estimator=maxpo", "--kk=2"], "kk"),
        (["--estimator=maxpo", "stray"], "stray"),
        (["--estimator=statistics:fmean"], "statistics:fmean at group_size = 5, k = 2"),
    ],
)
def test_mistakes_are_user_errors(arguments, message):
    with pytest.raises(UserError, match=message):
        run(*arguments)


def test_the_users_own_error_is_shown_with_the_users_own_lines(tmp_path):
    path = tmp_path / "failing.py"
    path.write_text(
        "import functools\n"
        "def estimator(rewards, k):\n"
        "    return functools.reduce(inner, rewards)\n"
        "def inner(total, reward):\n"
        "    raise RuntimeError('not yet written')\n"
    )
    with pytest.raises(UserError, match="fails on an ordinary group") as caught:
        run(f"--estimator={path}:estimator")
    text = str(caught.value)
    assert "RuntimeError: not yet written" in text
    assert "line 3, in estimator" in text
    assert text.count("File ") == text.count(str(path)) - 1  # no frame of anybody else's file


@pytest.mark.parametrize(
    ("function", "error"),
    [("raises_on_equal", "ZeroDivisionError"), ("exits_on_equal", "FunctionExitError")],
)
def test_what_the_function_raises_is_on_the_card(capsys, function, error):
    estimator = f"--estimator={DEFECTS}:{function}"
    assert run(estimator, "--claims=finite") == check_estimator.BROKEN
    printed = capsys.readouterr().out
    assert f"raises {error} on" in printed
    assert f"smallest counterexample: rewards (0, 0, 0), k = 2: got {error}" in printed
    assert run(estimator, "--claims=unbiased") == check_estimator.HOLDS


def test_a_function_that_always_exits_cannot_be_called(tmp_path, capsys):
    path = tmp_path / "exiting.py"
    path.write_text("import sys\ndef estimator(rewards, k):\n    sys.exit(0)\n")
    with pytest.raises(SystemExit) as caught:
        check_estimator.main([f"--estimator={path}:estimator", "--claims=unbiased"])
    assert caught.value.code == 2
    assert "SystemExit: 0" in capsys.readouterr().err


def test_an_error_of_the_card_itself_is_no_broken_claim(monkeypatch):
    def report_card(*arguments, **keywords):
        raise RuntimeError("of the card")

    monkeypatch.setattr(check_estimator, "report_card", report_card)
    with pytest.raises(UserError, match="cannot be judged: RuntimeError: of the card"):
        run("--estimator=maxpo")


def test_the_command_itself(tmp_path):
    path = tmp_path / "scalar.py"
    path.write_text("def total(rewards, k):\n    return rewards.sum()\n")
    command = [sys.executable, "-m", check_estimator.MODULE, f"--estimator={path}:total"]
    root = Path(check_estimator.__file__).parents[1]
    result = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert result.returncode == 2
    assert "it must return one advantage for each reward" in result.stderr
    assert "Traceback" not in result.stderr


def test_help_explains_every_claim(capsys):
    assert run("--help") == 0
    assert "no_gradient: no gradient flows through the rewards" in capsys.readouterr().out


@pytest.mark.parametrize("name", readme.REPORT_CARDS)
def test_the_committed_cards_say_what_a_card_says_today(name):
    stored = (readme.PROJECT_ROOT / "figures" / "report_cards" / f"{name}.txt").read_text()
    subject = from_function(estimators.get(name), 5, 2)
    main = expectation.expectation(subject, 5, 2)
    fresh = [*expectation.verdicts(subject, main, 5), *symmetry.check(subject, 5, 2)]
    fresh += [*edges.check(subject, main, 5, 2), *variance.check(main, "real", 5, 2)]
    for verdict in fresh:
        without_example = dataclasses.replace(verdict, counterexample=None)
        assert paragraph(without_example) in stored
