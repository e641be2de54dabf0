"""The page: everything inside it, and a browser that can read the verdicts."""

import dataclasses
import re
import shutil
import subprocess

import planted_defects
import pytest

from experiments import report_card_html
from maxpo_jax.report_card import report_card

CLAIMS = ("unbiased", "centered")
BROWSER = shutil.which("chromium")


@pytest.fixture(scope="module")
def card():
    return report_card(planted_defects.mean_centered_ei, 4, 2)


@pytest.fixture(scope="module")
def page(card):
    return report_card_html.page(card, CLAIMS)


def verdicts(document):
    """Property to verdict, as the document has them."""
    pattern = r"""id=["'](\w+)["'] data-verdict=["'](\w+)["']"""
    return dict(re.findall(pattern, document))


def expected(card):
    words = {True: "yes", False: "no", None: "none"}
    return {name: words[verdict.holds] for name, verdict in card.verdicts.items()}


def test_the_page_says_what_the_card_says(card, page):
    assert verdicts(page) == expected(card)
    assert "0.5 grad J_1 + 0.5 grad J_2" in page
    assert page.count("<figure>") == 3
    assert page.count("<svg") == 3


def test_the_page_needs_nothing_from_outside_and_is_light(page):
    assert not re.search(r"""(src|href)=["']?(https?:|//|file:)""", page)
    assert "<script" not in page
    assert "<img" not in page
    assert len(page.encode()) < 400_000
    assert 'name="viewport" content="width=device-width' in page


def test_the_page_is_the_same_each_time(card, page):
    assert report_card_html.page(card, CLAIMS) == page


def test_what_the_user_named_is_text_and_not_markup(card):
    named = dataclasses.replace(card, name="<script>alert(1)</script>")
    assert "<script" not in report_card_html.page(named)


@pytest.mark.skipif(BROWSER is None, reason="chromium is not installed")
def test_a_browser_reads_the_verdicts(card, page, tmp_path):
    path = tmp_path / "card.html"
    path.write_text(page, encoding="utf-8")
    arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--window-size=390,844",
        "--dump-dom",
    ]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    result = subprocess.run(
        [str(BROWSER), *arguments, profile, path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert verdicts(result.stdout) == expected(card)
    assert "does not hold" in result.stdout
