"""The figure of a card: every line of it, and what was enumerated."""

import dataclasses

import numpy as np
import planted_defects
import pytest

from experiments import report_card_figure
from experiments.common import style
from maxpo_jax.report_card import report_card
from tests.analysis.test_looks import assert_fit_to_print


@pytest.fixture(scope="module")
def card():
    return report_card(planted_defects.mean_centered_ei, 4, 2)


def test_the_figure_says_what_the_card_says_and_shows_every_bandit(card, tmp_path):
    figure = report_card_figure.draw(card)
    assert figure.texts[0].get_text() == card.text(110)
    bias, variance = figure.axes
    bandits = card.verdicts["unbiased"].details["bandits"]
    drawn = np.concatenate([line.get_xydata() for line in bias.lines[:2]])
    assert {tuple(point) for point in drawn} == {(row["scale"], row["cosine"]) for row in bandits}
    own = next(line for line in variance.lines if line.get_label() == "this function")
    rows = card.verdicts["variance"].details["bandits"]
    look = style.estimator_style(card.name)
    assert (own.get_color(), own.get_marker()) == (look.color, look.marker)
    np.testing.assert_allclose(own.get_xdata(), [row["own"] / row["maxpo"] for row in rows])
    figure.savefig(tmp_path / "card.png")


def test_the_lines_fit_on_the_figure(card):
    figure = report_card_figure.draw(card)
    figure.draw_without_rendering()
    box = figure.texts[0].get_window_extent()
    assert 0 < box.x0 < box.x1 < figure.bbox.x1
    with style.paper():
        assert_fit_to_print(figure)
    panels = max(ax.get_tightbbox().y1 for ax in figure.axes)
    assert panels < box.y0 < box.y1 < figure.bbox.y1


def test_a_card_without_enumeration_has_lines_alone(card):
    lines = {"pure": card.verdicts["pure"]}
    figure = report_card_figure.draw(
        dataclasses.replace(card, name="costs $1 or $2", verdicts=lines)
    )
    assert figure.texts[0].get_text().startswith("costs $1 or $2: group size")
    assert not figure.axes
    figure.draw_without_rendering()
