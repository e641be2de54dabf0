"""Groups over four devices: `jax.shard_map` and arrays that say how they are sharded."""

import os
import pathlib
import subprocess
import sys

import jax.numpy as jnp
import pytest

from maxpo_jax.estimators import group_sharding

ROOT = pathlib.Path(__file__).resolve().parents[1]


def test_every_estimator_on_four_devices():
    """In one process of its own: the number of devices is set once, before JAX starts."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    result = subprocess.run(
        [sys.executable, ROOT / "tests" / "sharded_groups.py"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.splitlines() == ["done"], result.stdout + result.stderr[-2000:]


@pytest.mark.parametrize("array", [None, jnp.zeros((2, 3)), jnp.zeros(3)])
def test_what_lies_on_one_device_is_computed_there(array):
    assert group_sharding.explicit_sharding("maxpo", array) is None
