"""Figure, tables, targets and caption of the benchmark, from its stored data alone."""

import json

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from experiments.analysis import effects as comparisons
from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding, records

NAME = "benchmark_estimators"
QUESTION = "How fast and how precise is MaxPO?"
LARGEST_RATIO = {4: 0.04, 8: 0.04, 16: 0.1, 32: 0.3, 64: 0.3, 128: 0.15, 256: 0.2, 1_024: 0.25}
LARGEST_RATIO_OF_A_MILLION = 0.25
LONGEST_OF_NETWORKS = 1_024  # longer groups are sorted as integers, by one algorithm at every B
SMALLEST_GAIN_OVER_QUADRATIC = 20
LARGEST_MEMORY = 5
LONGEST_COMPILATION = 3.0
LARGEST_ERROR = 5e-7
FEWEST_DRAWS = 2_000_000
SMALLEST_DRAWN_ERROR = 1e-9

METHODS = {
    "maxpo": style.ESTIMATORS["maxpo"],
    "quadratic": style.EstimatorStyle(r"MaxPO as published, $O(B^2)$", style.VERMILLION, "o", "--"),
    "pkpo_listing": style.EstimatorStyle("PKPO's NumPy listing", style.BLUE, "2", "--"),
    "argsort": style.EstimatorStyle("jnp.argsort alone", style.BLACK, "+"),
    "copy": style.EstimatorStyle("copy of the rewards", style.GRAY, "|", ":"),
}
K_RULES = {"1": ("o", "-"), "2": ("s", "--"), "B/2": ("^", "-."), "B - 1": ("v", ":")}


def draw(dataset: xr.Dataset) -> Drawing:
    """Time per sample of many groups, its growth with the group, and the rounding errors."""
    figure, axes = style.grid_of_panels(1, 3, panel_height=2.1)
    many, growing, errors = axes[0]
    _draw_times(many, dataset.seconds_per_sample.rename(group_size="B"), 2)
    style.panel_title(many, f"{stored_config(dataset).num_groups:,} groups", "a")
    _draw_times(growing, dataset.growing_seconds_per_sample.rename(growing_group_size="B"), 10)
    style.panel_title(growing, f"{stored_config(dataset).num_samples:,} samples in all", "b")
    of_float32 = dataset.relative_error.sel(reward_dtype="float32")
    for k_rule, (marker, line) in K_RULES.items():
        values = np.maximum(of_float32.sel(k_rule=k_rule), SMALLEST_DRAWN_ERROR)
        label = f"(c) $K = {k_rule}$"
        errors.plot(
            dataset.accuracy_group_size,
            values,
            marker=marker,
            linestyle=line,
            color=style.VERMILLION,
            label=label,
        )
    errors.axhline(LARGEST_ERROR, color=style.BLACK, linewidth=0.8, label="(c) limit")
    errors.set(xlabel="group size $B$", ylabel="error / largest advantage")
    style.log_axis(errors, "x")
    style.log_axis(errors, "y")
    errors.set_ylim(SMALLEST_DRAWN_ERROR, 1e-6)
    style.panel_title(errors, "rounding, float32", "c")
    style.shared_legend(figure)
    return figure


def _draw_times(ax: Axes, seconds: xr.DataArray, base: int) -> None:
    for method, look in METHODS.items():
        times = seconds.sel(algorithm=method).dropna("B")
        if times.size:
            ax.plot(
                times.B,
                1e9 * times,
                **look.of_line(),
            )
    ax.set(xlabel="group size $B$", ylabel="ns per sample")
    style.log_axis(ax, "x", base)
    style.log_axis(ax, "y")


def _ratio(seconds: xr.DataArray) -> xr.DataArray:
    return seconds.sel(algorithm="maxpo", drop=True) / seconds.sel(algorithm="argsort", drop=True)


def findings(dataset: xr.Dataset) -> list[Finding]:
    """The targets that the library is held to, on the sizes that were measured."""
    longest = int(dataset.growing_group_size[-1])
    limits = LARGEST_RATIO | {longest: LARGEST_RATIO_OF_A_MILLION}
    # A size of both tables is judged on the many groups.
    growing, many = dataset.growing_seconds_per_sample, dataset.seconds_per_sample
    ratios = _ratio(growing).to_series().to_dict() | _ratio(many).to_series().to_dict()
    judged = {size: ratios[size] for size in sorted(ratios) if size in limits}
    return [
        Finding(
            NAME,
            "share_of_argsort",
            "MaxPO takes a small share of the time of jnp.argsort on the same rewards",
            [
                comparisons.exact(f"at B = {size:,}", ratio, holds=ratio <= limits[size])
                for size, ratio in judged.items()
            ],
            "time of MaxPO over that of jnp.argsort, to be at most "
            + ", ".join(f"{limits[size]:g} at B = {size:,}" for size in judged),
        ),
        *_gain_over_quadratic(dataset),
        _cost(dataset),
        _precision(dataset),
        _draws(dataset),
    ]


def _target(name: str, sentence: str, value: float, holds: bool, quantity: str) -> Finding:
    return Finding(NAME, name, sentence, [comparisons.exact("", value, bool(holds))], quantity)


def _gain_over_quadratic(dataset: xr.Dataset) -> list[Finding]:
    if 64 not in dataset.group_size:
        return []
    times = dataset.seconds_per_sample.sel(group_size=64)
    gain = float(times.sel(algorithm="quadratic") / times.sel(algorithm="maxpo"))
    return [
        _target(
            "gain_over_quadratic",
            "At B = 64 MaxPO is many times as fast as the published O(B^2) algorithm",
            gain,
            gain >= SMALLEST_GAIN_OVER_QUADRATIC,
            f"times as fast, to be at least {SMALLEST_GAIN_OVER_QUADRATIC}",
        )
    ]


def _cost(dataset: xr.Dataset) -> Finding:
    growing = dataset.growing_seconds_per_sample
    sizes, times = dataset.growing_group_size.values, growing.sel(algorithm="maxpo").values
    first = min(int(np.sum(sizes <= LONGEST_OF_NETWORKS)), len(sizes) - 1)
    growth = float(times[-1] / times[first])
    allowed = float(np.log(sizes[-1]) / np.log(sizes[first]))
    memory, compiling = (_worst(dataset, n) for n in ("memory_per_reward", "compile_seconds"))
    limits = (LARGEST_MEMORY, LONGEST_COMPILATION, allowed)
    return Finding(
        NAME,
        "cost",
        "Memory, compilation and growth are small at every group size",
        [
            comparisons.exact("times the rewards in memory", memory, memory <= limits[0]),
            comparisons.exact("s to compile", compiling, compiling < limits[1]),
            comparisons.exact(
                f"times in time per sample from B = {sizes[first]:,} to {sizes[-1]:,}",
                growth,
                growth <= limits[2],
            ),
        ],
        "the largest of each, to be at most "
        + ", ".join(f"{limit:.3g}" for limit in limits)
        + " (log B)",
    )


def _worst(dataset: xr.Dataset, variable: str) -> float:
    return max(float(dataset[name].max()) for name in (variable, f"growing_{variable}"))


def _precision(dataset: xr.Dataset) -> Finding:
    worst = float(dataset.relative_error.sel(reward_dtype="float32").max())
    return _target(
        "float32",
        f"In float32 the rounding errors are small up to B = "
        f"{int(dataset.accuracy_group_size.max()):,}",
        worst,
        worst < LARGEST_ERROR,
        f"largest error over the largest advantage, to be below {LARGEST_ERROR:g}",
    )


def _draws(dataset: xr.Dataset) -> Finding:
    draws = dataset.gradient_draws_per_second
    where = {"maxpo": "with MaxPO alone", "figure": "with all estimators of the figure"}
    rates = {text: float(draws.sel(drawn=name)) for name, text in where.items()}
    return Finding(
        NAME,
        "gradient_draws",
        "gradient_variance computes millions of gradient estimates a second",
        [comparisons.exact(text, rate, holds=rate >= FEWEST_DRAWS) for text, rate in rates.items()],
        f"estimates a second for n = 32, B = 16, K = 4, to be at least {FEWEST_DRAWS:,}",
        "; ".join(f"{rate:,.0f} {text}" for text, rate in rates.items()),
    )


def texts(dataset: xr.Dataset) -> dict[str, str]:
    """All numbers as JSON, by the name of the file."""
    numbers = {
        "device": dataset.attrs["device"],
        "data": dataset.drop_attrs().to_dict(),
        "findings": records(findings(dataset)),
    }
    # JSON has no NaN: what was not measured is null.
    numbers = json.loads(json.dumps(numbers), parse_constant=lambda constant: None)
    return {"results.json": json.dumps(numbers, indent=1) + "\n"}


def tables(dataset: xr.Dataset) -> str:
    """Speed, growth and precision as Markdown tables, with the device they were measured on."""
    config = stored_config(dataset)
    return "\n".join(
        [
            f"Measured on {dataset.attrs['device']}.",
            "",
            f"MaxPO on {config.num_groups:,} groups, float32; times per sample:",
            "",
            *_speed_rows(dataset, "", "group_size", published=True),
            "",
            f"MaxPO on {config.num_samples:,} samples in groups of B:",
            "",
            *_speed_rows(dataset, "growing_", "growing_group_size", published=False),
            "",
            "Largest error over reward families with ties, offsets and heavy tails, relative to "
            "the largest advantage of the group:",
            "",
            *_error_rows(dataset),
            "",
        ]
    )


def _speed_rows(dataset: xr.Dataset, prefix: str, axis: str, *, published: bool) -> list[str]:
    heads = ["B", "MaxPO", "`jnp.argsort`", "MaxPO / argsort", "copy"]
    heads += ["published O(B²) / MaxPO", "PKPO's listing / MaxPO"] if published else []
    heads += ["memory / rewards", "compiling"]
    rows = [_row(heads), "|" + " --: |" * len(heads)]
    for index, size in enumerate(dataset[axis].values):
        row = dataset.isel({axis: index})
        seconds = row[f"{prefix}seconds_per_sample"]
        times = {str(name): float(seconds.sel(algorithm=name)) for name in dataset.algorithm.values}
        cells = [f"{size:,}", f"{1e9 * times['maxpo']:.2f} ns", f"{1e9 * times['argsort']:.1f} ns"]
        cells += [f"{times['maxpo'] / times['argsort']:.3f}", f"{1e9 * times['copy']:.2f} ns"]
        if published:
            gains = (times[name] / times["maxpo"] for name in ("quadratic", "pkpo_listing"))
            cells += [f"{gain:,.0f}" for gain in gains]
        memory, compiling = row[f"{prefix}memory_per_reward"], row[f"{prefix}compile_seconds"]
        cells += [f"{float(memory):.1f}", f"{float(compiling):.2f} s"]
        rows.append(_row(cells))
    return rows


def _error_rows(dataset: xr.Dataset) -> list[str]:
    columns = [
        (dtype, rule) for dtype in dataset.reward_dtype.values for rule in dataset.k_rule.values
    ]
    rows = [_row(["B", *(f"{dtype}, K = {rule}" for dtype, rule in columns)])]
    rows.append("|" + " --: |" * (len(columns) + 1))
    for size in dataset.accuracy_group_size.values:
        errors = dataset.relative_error.sel(accuracy_group_size=size)
        values = (float(errors.sel(reward_dtype=dtype, k_rule=rule)) for dtype, rule in columns)
        rows.append(_row([f"{size:,}", *(f"{value:.1e}" for value in values)]))
    return rows


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def caption(dataset: xr.Dataset) -> str:
    """Caption generated from the configuration that produced the data."""
    config = stored_config(dataset)
    return (
        f"MaxPO on {dataset.attrs['device']}, float32, medians of calls that take turns, the first "
        f"call of each turn not counted. (a) Time per sample of {config.num_groups:,} groups, next "
        f"to the compiler's argsort of the same rewards, a copy of them, and published algorithms "
        f"(on fewer groups). (b) The same for {config.num_samples:,} samples in longer and longer "
        f"groups. (c) Largest rounding error over reward families with ties, offsets and heavy "
        f"tails, relative to the largest advantage of the group; the line is {LARGEST_ERROR:g}, "
        f"and what is below {SMALLEST_DRAWN_ERROR:g} is drawn there."
    )
