"""Figure, tables, targets and caption of the benchmark, from its stored data alone."""

import json

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from experiments.common import style
from experiments.common.configuration import stored_config
from experiments.common.findings import Finding

NAME = "benchmark_estimators"
LARGEST_RATIO = {4: 0.04, 8: 0.04, 16: 0.1, 32: 0.3, 64: 0.3, 128: 0.5, 256: 0.5}
LARGEST_RATIO_OF_A_MILLION = 1.5
SMALLEST_GAIN_OVER_QUADRATIC = 20
LARGEST_MEMORY = 6
LONGEST_COMPILATION = 3.0
LARGEST_ERROR = 5e-7
FEWEST_DRAWS = 2_000_000
SMALLEST_DRAWN_ERROR = 1e-9

METHODS = {
    "maxpo": style.ESTIMATORS["maxpo"],
    "argsort": style.EstimatorStyle("jnp.argsort alone", style.BLUE, "s"),
    "copy": style.EstimatorStyle("copy of the rewards", style.GRAY, "D", ":"),
    "quadratic": style.EstimatorStyle(r"MaxPO as published, $O(B^2)$", style.ORANGE, "^", "--"),
    "pkpo_listing": style.EstimatorStyle("PKPO's NumPy listing", style.GREEN, "v", "--"),
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
        label = f"$K = {k_rule}$"
        errors.plot(
            dataset.accuracy_group_size,
            values,
            marker=marker,
            linestyle=line,
            color=style.VERMILLION,
            label=label,
        )
    errors.axhline(LARGEST_ERROR, color=style.BLACK, linewidth=0.8)
    errors.set(xlabel="group size $B$", ylabel="error / largest advantage")
    style.log_axis(errors, "x")
    style.log_axis(errors, "y")
    errors.set_ylim(SMALLEST_DRAWN_ERROR, 1e-6)
    style.panel_title(errors, "rounding, float32", "c")
    errors.legend(fontsize=6, loc="lower left", bbox_to_anchor=(0.03, 0.0))
    style.shared_legend(figure, [many, growing])
    return figure


def _draw_times(ax: Axes, seconds: xr.DataArray, base: int) -> None:
    for method, look in METHODS.items():
        times = seconds.sel(algorithm=method).dropna("B")
        if times.size:
            ax.plot(
                times.B,
                1e9 * times,
                color=look.color,
                marker=look.marker,
                linestyle=look.linestyle,
                label=look.label,
            )
    ax.set(xlabel="group size $B$", ylabel="ns per sample")
    style.log_axis(ax, "x", base)
    style.log_axis(ax, "y")


def _ratio(seconds: xr.DataArray) -> xr.DataArray:
    return seconds.sel(algorithm="maxpo", drop=True) / seconds.sel(algorithm="argsort", drop=True)


def findings(dataset: xr.Dataset) -> list[Finding]:
    """The targets that the library is held to, on the sizes that were measured."""
    ratios = _ratio(dataset.seconds_per_sample).to_series()
    judged = {size: ratio for size, ratio in ratios.items() if size in LARGEST_RATIO}
    found = [
        Finding(
            NAME,
            "share_of_argsort",
            "MaxPO takes at most "
            + ", ".join(f"{LARGEST_RATIO[size]:g} (B = {size})" for size in judged)
            + " of the time of jnp.argsort on the same rewards",
            ", ".join(f"{ratio:.3f} (B = {size})" for size, ratio in judged.items()),
            all(ratio <= LARGEST_RATIO[size] for size, ratio in judged.items()),
        )
    ]
    growing = dataset.growing_seconds_per_sample
    sizes = dataset.growing_group_size.values
    last = float(_ratio(growing)[-1])
    times = growing.sel(algorithm="maxpo").values
    growth, allowed = times[-1] / times[0], np.log(sizes[-1]) / np.log(sizes[0])
    found += [
        Finding(
            NAME,
            "largest_group",
            f"a group of {sizes[-1]:,} takes at most {LARGEST_RATIO_OF_A_MILLION} of the time of "
            "jnp.argsort",
            f"{last:.2f}",
            last <= LARGEST_RATIO_OF_A_MILLION,
        ),
        Finding(
            NAME,
            "growth",
            f"from B = {sizes[0]:,} to {sizes[-1]:,} the time grows no faster than B log B",
            f"time per sample grows by {growth:.2f}, log B by {allowed:.2f}",
            growth <= allowed,
        ),
        *_gain_over_quadratic(dataset),
        _memory(dataset),
        _compilation(dataset),
    ]
    return [*found, _precision(dataset), _draws(dataset)]


def _gain_over_quadratic(dataset: xr.Dataset) -> list[Finding]:
    if 64 not in dataset.group_size:
        return []
    times = dataset.seconds_per_sample.sel(group_size=64)
    gain = float(times.sel(algorithm="quadratic") / times.sel(algorithm="maxpo"))
    return [
        Finding(
            NAME,
            "gain_over_quadratic",
            f"at B = 64 MaxPO is at least {SMALLEST_GAIN_OVER_QUADRATIC} times as fast as the "
            "published O(B^2) algorithm",
            f"{gain:.0f} times",
            gain >= SMALLEST_GAIN_OVER_QUADRATIC,
        )
    ]


def _memory(dataset: xr.Dataset) -> Finding:
    worst = _worst(dataset, "memory_per_reward")
    return Finding(
        NAME,
        "memory",
        f"result and temporary memory together take at most {LARGEST_MEMORY} times the rewards",
        f"at most {worst:.1f} times",
        worst <= LARGEST_MEMORY,
    )


def _compilation(dataset: xr.Dataset) -> Finding:
    worst = _worst(dataset, "compile_seconds")
    return Finding(
        NAME,
        "compilation",
        f"MaxPO compiles in less than {LONGEST_COMPILATION:g} s for every group size",
        f"at most {worst:.2f} s",
        worst < LONGEST_COMPILATION,
    )


def _worst(dataset: xr.Dataset, variable: str) -> float:
    return max(float(dataset[name].max()) for name in (variable, f"growing_{variable}"))


def _precision(dataset: xr.Dataset) -> Finding:
    worst = float(dataset.relative_error.sel(reward_dtype="float32").max())
    return Finding(
        NAME,
        "float32",
        f"float32 errors stay below {LARGEST_ERROR:g} of the largest advantage up to B = "
        f"{int(dataset.accuracy_group_size.max()):,}",
        f"at most {worst:.1e}",
        worst < LARGEST_ERROR,
    )


def _draws(dataset: xr.Dataset) -> Finding:
    alone, figure = dataset.gradient_draws_per_second.sel(drawn=["maxpo", "figure"]).values
    return Finding(
        NAME,
        "gradient_draws",
        f"gradient_variance computes at least {FEWEST_DRAWS:,} gradient estimates a second "
        "(n = 32, B = 16, K = 4)",
        f"{alone:,.0f} with MaxPO alone, {figure:,.0f} with all estimators of the figure",
        min(alone, figure) >= FEWEST_DRAWS,
    )


def texts(dataset: xr.Dataset) -> dict[str, str]:
    """The tables as Markdown, and all numbers as JSON."""
    numbers = {
        "device": dataset.attrs["device"],
        "data": dataset.drop_attrs().to_dict(),
        "findings": [finding.__dict__ for finding in findings(dataset)],
    }
    # JSON has no NaN: what was not measured is null.
    numbers = json.loads(json.dumps(numbers), parse_constant=lambda constant: None)
    return {"table.md": tables(dataset), "results.json": json.dumps(numbers, indent=1) + "\n"}


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
