"""Times MaxPO next to sorting and to published algorithms, and measures its rounding errors.

    python -m experiments.benchmark_estimators [--mode=smoke] [--out_dir=DIR] [--config.FIELD=VALUE]

It leaves the files of a figure in OUT_DIR/benchmark_estimators, and `table.md` and `results.json`.
"""

import functools
import math
import random
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from ml_collections import ConfigDict, FrozenConfigDict
from tqdm import tqdm

from experiments import reference_algorithms
from experiments.analysis import benchmark_estimators as analysis
from experiments.common import command_line, findings, provenance
from experiments.common.atomic_file import atomic_write, check_writable
from experiments.common.configuration import override_from_flags, resolve_config
from experiments.common.folder_lock import locked
from experiments.engine import update
from experiments.engine.figure import Figure
from experiments.measurements import bandit_gradients
from maxpo_jax import estimators

ALGORITHMS = ("maxpo", "argsort", "copy", "quadratic", "pkpo_listing")
MOST_PAIRS = 20_000_000  # pairs of samples of a group that the quadratic algorithm holds at once
LISTING_SAMPLES = 4_096  # the listing works on one group at a time, in milliseconds
DTYPES = ("float32", "bfloat16")
LARGE_GROUP_K = 1_000


def k_of_speed(group_size: int) -> int:
    """K of the timed calls: a quarter of short groups, 1000 of long ones."""
    return max(2, min(group_size // 4, LARGE_GROUP_K))


def ks_of_accuracy(group_size: int) -> tuple[int, ...]:
    """1, 2, B/2 and B - 1, of which a group of two or three has fewer."""
    return tuple(min(max(k, 1), group_size - 1) for k in (1, 2, group_size // 2, group_size - 1))


def median_seconds(
    calls: Mapping[str, Callable[[], Any]], min_repeats: int, seconds: float
) -> dict[str, float]:
    """Median wall time of each call, in the steady state of being called again and again.

    The calls take turns, in an order drawn anew each round, so that all meet the same disturbances.
    The first call of a turn is not timed: it pays for the caches and for the memory that the method
    before it has taken or given back.
    """
    order = random.Random(0)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    start = time.perf_counter()
    while len(taken[next(iter(calls))]) < min_repeats or time.perf_counter() - start < seconds:
        for name, call in order.sample(list(calls.items()), len(calls)):
            jax.block_until_ready(call())
            begun = time.perf_counter()
            jax.block_until_ready(call())
            taken[name].append(time.perf_counter() - begun)
    return {name: float(np.median(times)) for name, times in taken.items()}


def speed(config: ConfigDict, num_groups: int, group_size: int, published: bool) -> xr.Dataset:
    """Time per sample of each method, and what compiling and running MaxPO takes.

    Args:
      config: the configuration.
      num_groups: groups that MaxPO, `argsort` and the copy work on.
      group_size: B.
      published: whether to time the published algorithms too, on fewer groups.
    """
    k = k_of_speed(group_size)
    rewards = jax.random.normal(jax.random.key(config.seed), (num_groups, group_size))
    begun = time.perf_counter()
    maxpo = jax.jit(functools.partial(estimators.get("maxpo"), k=k)).lower(rewards).compile()
    compile_seconds = time.perf_counter() - begun
    argsort = jax.jit(functools.partial(jnp.argsort, axis=-1)).lower(rewards).compile()
    copy = jax.jit(functools.partial(jnp.array, copy=True)).lower(rewards).compile()
    calls: dict[str, Callable[[], Any]] = {
        "maxpo": lambda: maxpo(rewards),
        "argsort": lambda: argsort(rewards),
        "copy": lambda: copy(rewards),
    }
    samples = dict.fromkeys(calls, rewards.size)
    if published:
        few = rewards[: max(1, MOST_PAIRS // group_size**2)]
        single = np.asarray(rewards[: max(1, LISTING_SAMPLES // group_size)], np.float64)
        calls["quadratic"] = lambda: reference_algorithms.maxpo_quadratic(few, k)
        calls["pkpo_listing"] = lambda: [
            reference_algorithms.pkpo_sloo_minus_one(group, k) for group in single
        ]
        samples |= {"quadratic": few.size, "pkpo_listing": single.size}
    seconds = median_seconds(calls, config.min_repeats, config.seconds_per_row)
    per_sample = [seconds.get(name, math.nan) / samples.get(name, 1) for name in ALGORITHMS]
    memory: Any = maxpo.memory_analysis()
    beyond = memory.temp_size_in_bytes + memory.output_size_in_bytes
    return xr.Dataset(
        {
            "seconds_per_sample": ("algorithm", np.array(per_sample)),
            "compile_seconds": compile_seconds,
            "memory_per_reward": beyond / rewards.nbytes,
        }
    )


def reward_families(group_size: int, seed: int) -> np.ndarray:
    """Rewards [families, B] in float32: smooth, heavy-tailed, tied, offset, and one winner."""
    rng = np.random.default_rng((seed, group_size))
    return np.stack(
        [
            rng.normal(size=group_size),
            rng.exponential(size=group_size),
            rng.standard_t(2, size=group_size),
            rng.random(group_size) < 0.1,
            rng.random(group_size) < 0.98,
            rng.integers(0, 100, size=group_size),
            rng.integers(0, 100, size=group_size) + 1e6,
            7.0 * (rng.permutation(group_size) == 0),
        ]
    ).astype(np.float32)


def accuracy(config: ConfigDict, group_size: int) -> xr.Dataset:
    """Largest error over the reward families, relative to the largest advantage of the group."""
    ks = ks_of_accuracy(group_size)
    errors = [[_largest_error(group_size, k, dtype, config.seed) for k in ks] for dtype in DTYPES]
    return xr.Dataset({"relative_error": (("reward_dtype", "k_rule"), np.array(errors))})


def _largest_error(group_size: int, k: int, dtype: str, seed: int) -> float:
    rewards = jnp.asarray(reward_families(group_size, seed), dtype)
    advantages = np.asarray(estimators.get("maxpo")(rewards, k).astype(jnp.float32))
    exact = np.asarray(rewards.astype(jnp.float32))
    truth = reference_algorithms.maxpo_in_extended_precision(exact, k)
    largest = np.abs(truth).max(axis=-1)
    counted = largest > np.finfo(np.float32).tiny  # an advantage that float32 can hold
    error = np.abs(advantages - truth).max(axis=-1)
    return float((error[counted] / largest[counted]).max(initial=0.0))


def gradient_draws(config: ConfigDict, names: tuple[str, ...]) -> xr.Dataset:
    """Gradient estimates per second as the figure `gradient_variance` computes them, n = 32."""
    fields = dict(bandit_gradients.MEASUREMENT.fields)
    fields |= dict(resolve_config("gradient_variance", "full").run)
    run = FrozenConfigDict(fields | {"num_actions": 32, "num_draws": config.num_draws})
    points = [{"estimator": name, "k": run.k} for name in names]
    call = functools.partial(bandit_gradients.compute, run, np.zeros(1, np.int32), points)
    seconds = median_seconds({"run": call}, config.min_repeats, config.seconds_per_row)["run"]
    return xr.Dataset({"gradient_draws_per_second": config.num_draws * len(names) / seconds})


def check(config: ConfigDict) -> None:
    """Refuse group sizes that cannot be timed."""
    sizes = (*config.group_sizes, *config.growing_group_sizes, *config.accuracy_group_sizes)
    if min(sizes) < 2:
        raise ValueError(f"group sizes hold {min(sizes)}; MaxPO needs 2 or more")
    if min((*config.group_sizes, *config.growing_group_sizes)) < 3:
        raise ValueError("the timed group sizes need 3 or more: K is at least 2")


def parts(config: ConfigDict) -> dict[str, Callable[[], xr.Dataset]]:
    """One part per row of the tables."""
    pieces: dict[str, Callable[[], xr.Dataset]] = {}
    for size in config.group_sizes:
        pieces[f"speed,B={size}"] = functools.partial(speed, config, config.num_groups, size, True)
    for size in config.growing_group_sizes:
        num_groups = max(1, config.num_samples // size)
        pieces[f"growth,B={size}"] = functools.partial(speed, config, num_groups, size, False)
    for size in config.accuracy_group_sizes:
        pieces[f"accuracy,B={size}"] = functools.partial(accuracy, config, size)
    pieces["draws,maxpo"] = functools.partial(gradient_draws, config, ("maxpo",))
    pieces["draws,figure"] = functools.partial(gradient_draws, config, tuple(config.estimators))
    return pieces


def combine(config: ConfigDict, pieces: dict[str, xr.Dataset]) -> xr.Dataset:
    """The tables with named axes."""

    def rows(kind: str, sizes: tuple[int, ...], axis: str) -> xr.Dataset:
        stacked = xr.concat([pieces[f"{kind},B={size}"] for size in sizes], dim=axis)
        return stacked.assign_coords({axis: list(sizes)})

    timed = rows("speed", config.group_sizes, "group_size")
    growth = rows("growth", config.growing_group_sizes, "growing_group_size")
    growth = growth.rename({name: f"growing_{name}" for name in growth.data_vars})
    errors = rows("accuracy", config.accuracy_group_sizes, "accuracy_group_size")
    draws = xr.concat([pieces["draws,maxpo"], pieces["draws,figure"]], dim="drawn")
    dataset = xr.merge([timed, growth, errors, draws.assign_coords(drawn=["maxpo", "figure"])])
    dataset = dataset.assign_coords(
        algorithm=list(ALGORITHMS), reward_dtype=list(DTYPES), k_rule=["1", "2", "B/2", "B - 1"]
    )
    labels = {
        "seconds_per_sample": ("wall time per sample", "s"),
        "compile_seconds": ("wall time of compiling MaxPO", "s"),
        "memory_per_reward": ("result and temporary memory over that of the rewards", "1"),
        "relative_error": ("largest error over the largest advantage of the group", "1"),
        "gradient_draws_per_second": ("gradient estimates per second", "1/s"),
    }
    for name in dataset.data_vars:
        long_name, units = labels[str(name).removeprefix("growing_")]
        dataset[name].attrs.update(long_name=long_name, units=units)
    device = provenance.device()
    kind = f"{device['cores']} cores of {device['processor']}"
    kind = kind if device["platform"] == "cpu" else str(device["kind"])
    return dataset.assign_attrs(device=kind, platform=device["platform"])


def measure(config: ConfigDict, grids: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """All tables; nothing of them is in a grid."""
    with tqdm(parts(config).items(), unit="row") as progress:
        return combine(config, {name: compute() for name, compute in progress})


FIGURE = Figure(
    name="benchmark_estimators",
    question=analysis.QUESTION,
    grids={},
    summarize=measure,
    draw=analysis.draw,
    findings=analysis.findings,
    caption=analysis.caption,
    check=check,
)


def run(config: ConfigDict, out_dir: Path, command: str) -> update.Stored:
    """Measure, and write the files of the figure and all numbers."""
    check_writable(out_dir)
    with locked(out_dir):
        stored = update.bring_up_to_date(
            FIGURE, config, out_dir, compute=lambda *_: {}, force=True, command=command
        ).stored
        for name, text in analysis.texts(stored.dataset).items():
            atomic_write(out_dir / FIGURE.name / name, text.encode())
    return stored


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point; exits with status 0, 2 on mistakes, 130 on Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    command_line.run_guarded(lambda: _main(arguments), lambda: "nothing is kept of a benchmark")


def _main(arguments: Sequence[str]) -> int:
    overrides, others = command_line.split_overrides(arguments)
    values = command_line.common_flags()
    command_line.parse(values, others)
    if values.help:
        print(f"{__doc__}\n{command_line.flag_help(values)}")
        return 0
    config = resolve_config(FIGURE.name, values.mode)
    override_from_flags(config, overrides)
    out_dir = Path(values.out_dir or {"full": "results", "smoke": "results/smoke"}[values.mode])
    command = command_line.recorded_command("experiments.benchmark_estimators", arguments)
    stored = run(config, out_dir, command)
    print(findings.text(analysis.findings(stored.dataset)))
    print(f"\n{FIGURE.name}: measured, in {out_dir / FIGURE.name}")
    return 0


if __name__ == "__main__":
    command_line.leave(main)
