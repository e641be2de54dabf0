"""The worked example of the page runs as it stands, with small sizes."""

import contextlib
import io
import re

from experiments.common.configuration import PROJECT_ROOT

PAGE = (PROJECT_ROOT / "maxpo_jax" / "tokens" / "README.md").read_text(encoding="utf-8")
SMALL = {
    "num_train=1000, num_test=50": "num_train=16, num_test=2",
    "num_updates=500": "num_updates=2",
    "num_updates=200": "num_updates=2",
    "updates_per_record=50": "updates_per_record=1",
    "group_size=16": "group_size=9",
    "prompts_per_update=16": "prompts_per_update=2",
}


def test_an_estimator_of_the_reader_trains_a_token_policy():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    for shown, small in SMALL.items():
        assert code.count(shown) == 1
        code = code.replace(shown, small)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, "train_tokens.py", "exec"), {"__name__": "train_tokens"})
    lines = said.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["base", "mine", "MaxPO"]
    values = [[float(x) for x in re.findall(r"\d\.\d+", line)] for line in lines]
    assert all(sorted(of_line) == of_line and len(of_line) == 3 for of_line in values)
