"""The worked examples of CONTRIBUTING.md, run as they stand there."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import fact_checks
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from maxpo_jax import estimators, training

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", PAGE, flags=re.DOTALL))


def module(path: str) -> types.ModuleType:
    loaded = types.ModuleType(Path(path).stem)
    exec(compile(BLOCKS[path], path, "exec"), loaded.__dict__)
    return loaded


def test_the_page_has_an_example_of_each():
    folders = {path.rpartition("/")[0] for path in BLOCKS}
    assert folders == {
        "maxpo_jax/estimators",
        "experiments/analysis",
        "configs",
        "maxpo_jax/coins",
    }


def test_the_estimator_is_what_it_claims_and_a_false_claim_is_caught():
    module("maxpo_jax/estimators/median.py")
    try:
        median = estimators.get("median_baseline")
        fact_checks.check_facts(median)
        with pytest.raises(AssertionError):
            fact_checks.check_facts(dataclasses.replace(median, unbiased=True))
    finally:
        estimators.unregister("median_baseline")


def test_the_figure_is_drawn_from_three_files(tmp_path):
    for folder in ("experiments", "configs"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for path in ("experiments/analysis/variance_by_k.py", "configs/variance_by_k.py"):
        (tmp_path / path).write_text(BLOCKS[path], encoding="utf-8")
    reproduce = tmp_path / "experiments" / "reproduce.py"
    text = reproduce.read_text(encoding="utf-8")
    reproduce.write_text(text.replace('    "maze_scaling",\n', '    "variance_by_k",\n'))
    command = "-m experiments.reproduce --only=variance_by_k --mode=smoke --out_dir=out"
    done = subprocess.run(
        [sys.executable, *command.split()],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "variance_by_k" / "variance_by_k.png").stat().st_size > 5000
    (finding,) = json.loads((tmp_path / "out" / "findings.json").read_text())
    assert finding["name"] == "maxpo_below_ei"


def test_the_world_has_the_exact_gradient_and_is_learned():
    group_size, k, logit, num_groups = 4, 2, jnp.float32(-0.5), 20_000
    coins = module("maxpo_jax/coins/gradients.py")
    world = coins.make_world(estimator=estimators.get("maxpo"), group_size=group_size)
    groups = world.draw(jax.random.key(0), num_groups)
    draws = jax.jit(jax.vmap(lambda group: world.estimate(group, logit, jnp.int32(k))))(groups)
    prob = 1 / (1 + np.exp(0.5))
    exact = k * (1 - prob) ** (k - 1) * prob * (1 - prob)  # of J_K = 1 - (1 - p)^K
    values = np.asarray(draws.gradient, np.float64)
    assert abs(values.mean() - exact) < 4 * values.std() / np.sqrt(num_groups)
    assert abs(values.mean() - exact) < 0.1 * exact  # the test can tell K from its neighbors
    end, _ = training.train(
        jax.random.key(1),
        logit,
        jnp.full(200, k),
        0.5,
        world=world,
        optimizer=training.OPTIMIZERS["sgd"],
        record=lambda window: window.params,
        updates_per_record=200,
    )
    assert end > logit + 1
