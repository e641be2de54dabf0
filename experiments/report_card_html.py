"""The report card as one self-contained page: verdicts, counterexamples and plots, no network."""

import html
import io
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.common import style
from maxpo_jax.report_card import CLAIMS, FACTS, Card, Verdict
from maxpo_jax.report_card.verdicts import show

_OWN = style.EstimatorStyle("this function", style.PURPLE, "D")
_WIDTH, _PANEL_HEIGHT = 4.2, 2.7

_CSS = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 46rem; background: #fff; color: #1b1b1b;
  font: 16px/1.45 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.35rem; margin: 0 0 .2rem; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .5rem; }
p { margin: .2rem 0; } .about { color: #555; }
.line { border-top: 1px solid #ddd; padding: .55rem 0; display: grid;
  grid-template-columns: 4.2rem 1fr; column-gap: .6rem; }
.verdict { font-weight: 700; white-space: nowrap; }
.yes { color: #00684a; } .no { color: #b23a00; } .none { color: #666; font-weight: 400; }
.name { font-weight: 600; } .says { color: #555; font-size: .88rem; }
.example { background: #fdf1ea; border-left: 3px solid #b23a00; padding: .4rem .6rem;
  margin-top: .4rem; font: .82rem/1.5 ui-monospace, monospace; }
.claims { border: 2px solid #00684a; border-radius: .4rem; padding: .5rem .8rem; margin: 1rem 0; }
.claims.broken { border-color: #b23a00; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .82rem; }
th, td { text-align: right; padding: .25rem .5rem; border-top: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
figure { margin: .6rem 0; } figure svg { width: 100%; height: auto; max-width: 32rem; }
figcaption { font-size: .85rem; color: #555; }
""".strip()


def page(card: Card, claims: Sequence[str] = ()) -> str:
    """The whole page.

    Args:
      card: the card.
      claims: names of the claims that were made for the function.

    Returns:
      HTML with everything inside: style, and plots as SVG.
    """
    title = html.escape(card.heading)
    plots = "".join(
        f"<figure>{_svg(figure)}<figcaption>{html.escape(caption)}</figcaption></figure>"
        for figure, caption in _plots(card)
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title>\n<style>\n{_CSS}\n</style></head>\n<body>\n"
        f"<h1>{title}</h1>\n<p class='about'>{html.escape(_about(card))}</p>\n"
        f"{_claims(card, claims)}"
        f"<h2>Properties</h2>\n{_lines(card, CLAIMS)}"
        f"<h2>Facts</h2>\n{_lines(card, FACTS)}"
        f"{'<h2>Plots</h2>' if plots else ''}\n{plots}\n{_bandit_table(card)}"
        "</body></html>\n"
    )


def _about(card: Card) -> str:
    return (
        "Expectations and variances are exact: every group of actions of each bandit is "
        "enumerated in float64, with g = (K/B) sum_i A_i grad log pi(a_i). "
        f"The function is called as {card.language} code."
    )


def _claims(card: Card, claims: Sequence[str]) -> str:
    if not claims:
        return ""
    broken = {verdict.name for verdict in card.broken(claims)}
    rows = "".join(
        f"<p>claim <b>{claim}</b>: "
        f"<span class='{'no' if claim in broken else 'yes'}'>"
        f"{'does not hold' if claim in broken else 'holds'}</span></p>"
        for claim in claims
    )
    return f"<div class='claims{' broken' if broken else ''}' id='claims'>{rows}</div>\n"


def _lines(card: Card, names: Iterable[str]) -> str:
    return "".join(_line(card.verdicts[name]) for name in names if name in card.verdicts)


def _line(verdict: Verdict) -> str:
    word, kind = {True: ("yes", "yes"), False: ("NO", "no"), None: ("&ndash;", "none")}[
        verdict.holds
    ]
    says = html.escape(CLAIMS.get(verdict.name) or FACTS[verdict.name])
    meaning = f"<div class='says'>{says}</div>" if verdict.holds is not True else ""
    example = verdict.counterexample
    below = f"<div class='example'>{html.escape(str(example))}</div>" if example else ""
    return (
        f"<div class='line' id='{verdict.name}' data-verdict='{kind}'>"
        f"<div class='verdict {kind}'>{word}</div><div><div class='name'>{verdict.name}</div>"
        f"{meaning}<div>{html.escape(verdict.sentence)}</div>{below}</div></div>\n"
    )


def _bandit_table(card: Card) -> str:
    bandits = _details(card, "unbiased").get("bandits", [])
    if not bandits:
        return ""
    head = "<tr><th>bandit</th><th>rewards</th><th>policy</th><th>E g</th><th>grad J_K</th></tr>"
    rows = "".join(
        "<tr>"
        + f"<td>{html.escape(row['name'])}</td>"
        + "".join(
            f"<td>{html.escape(show(row[column]))}</td>"
            for column in ("rewards", "probs", "mean", "gradient")
        )
        + "</tr>"
        for row in bandits
    )
    return f"<h2>Bandits</h2>\n<div class='scroll'><table>{head}{rows}</table></div>\n"


def _plots(card: Card) -> list[tuple[Figure, str]]:
    """The plots for which the card has data, with their captions."""
    found = []
    with style.paper():
        if _details(card, "unbiased").get("bandits"):
            caption = "Exact expected gradient on each bandit: E g = grad J_K is the point (1, 1)."
            found.append((_direction_plot(_details(card, "unbiased")["bandits"]), caption))
        if _details(card, "variance").get("bandits"):
            caption = (
                "Exact variance in units of MaxPO's (EI's where K = B); left of 1 is better. "
                "RLOO estimates grad J_1."
            )
            found.append((_variance_plot(_details(card, "variance")["bandits"]), caption))
        steps = _details(card, "float32").get("steps", [])
        timed = _details(card, "speed").get("steps", [])
        if len(steps) > 2 and len(timed) > 1:
            caption = "Left: float32 against its own float64 run, K = B/2. Right: time per group."
            found.append((_size_plot(steps[1:], timed), caption))
    return found


def _direction_plot(bandits: list[dict[str, Any]]) -> Figure:
    figure, ax = _panel(1)
    for binary, marker, label in ((False, "o", "real rewards"), (True, "s", "0/1 rewards")):
        chosen = [row for row in bandits if (set(row["rewards"]) <= {0.0, 1.0}) == binary]
        if chosen:
            color = style.VERMILLION if binary else style.BLUE
            scales, cosines = ([row[key] for row in chosen] for key in ("scale", "cosine"))
            ax.plot(scales, cosines, marker, color=color, label=label, alpha=0.8)
    ax.axvline(1.0, color=style.GRAY, linewidth=0.8, zorder=0)
    ax.axhline(1.0, color=style.GRAY, linewidth=0.8, zorder=0)
    scales, cosines = ([row[key] for row in bandits] for key in ("scale", "cosine"))
    ax.set_xlim(min(0.0, *scales) - 0.1, max(2.0, *scales) * 1.05)
    ax.set_ylim(min(0.9, *cosines) - 0.02, 1.02)
    ax.set_xlabel(r"best scale $c$ in $\mathrm{E}\,g \approx c\,\nabla J_K$")
    ax.set_ylabel(r"cosine of $\mathrm{E}\,g$ and $\nabla J_K$")
    ax.legend(loc="lower right")
    return figure


def _variance_plot(bandits: list[dict[str, Any]]) -> Figure:
    unit = "maxpo" if "maxpo" in bandits[0] else "ei"
    figure, ax = _panel(1, height=0.3 * len(bandits) + 1.0)
    looks = {name: style.estimator_style(name) for name in ("maxpo", "ei", "rloo")} | {"own": _OWN}
    rows = range(len(bandits))
    for name, look in looks.items():
        if name not in bandits[0]:
            continue
        ratios = [row[name] / row[unit] for row in bandits]
        size = 5.5 if name == "own" else 4.0
        ax.plot(ratios, rows, look.marker, color=look.color, label=look.label, markersize=size)
    ax.axvline(1.0, color=style.GRAY, linewidth=0.8, zorder=0)
    style.log_axis(ax, "x", base=2)
    ax.set_yticks(list(rows), [row["name"] for row in bandits])
    ax.invert_yaxis()
    ax.set_xlabel(f"exact variance over that of {looks[unit].label}")
    style.shared_legend(figure)
    return figure


def _size_plot(steps: list[dict[str, Any]], timed: list[dict[str, Any]]) -> Figure:
    figure, axes = style.grid_of_panels(1, 2, panel_width=2.1, panel_height=2.2)
    left, right = axes[0]
    sizes = [step["group_size"] for step in steps]
    errors = [min(max(step["error"], 1e-9), 1e9) for step in steps]
    left.plot(sizes, errors, color=_OWN.color, marker=_OWN.marker)
    left.axhline(1e-3, color=style.GRAY, linestyle=":", linewidth=1)
    left.set_ylabel("largest relative error")
    right.plot(
        [step["group_size"] for step in timed],
        [step["seconds"] * 1e6 for step in timed],
        color=_OWN.color,
        marker=_OWN.marker,
        label=_OWN.label,
    )
    reference = style.estimator_style("maxpo")
    right.plot(
        [step["group_size"] for step in timed],
        [step["maxpo"] * 1e6 for step in timed],
        color=reference.color,
        marker=reference.marker,
        label=reference.label,
    )
    right.set_ylabel(r"time per group ($\mu$s)")
    right.legend()
    for ax in (left, right):
        style.log_axis(ax, "x", base=2)
        ax.set_yscale("log")
        ax.set_xlabel("group size $B$")
    return figure


def _panel(columns: int, height: float = _PANEL_HEIGHT) -> tuple[Figure, Axes]:
    figure, axes = style.grid_of_panels(1, columns, panel_width=_WIDTH, panel_height=height)
    return figure, axes[0, 0]


def _details(card: Card, name: str) -> dict[str, Any]:
    verdict = card.verdicts.get(name)
    return dict(verdict.details) if verdict is not None else {}


def _svg(figure: Figure) -> str:
    """The figure as inline SVG, the same text each time."""
    with style.paper():
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
