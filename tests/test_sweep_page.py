"""The page of a sweep: self-contained, and drawn as asked by a real browser."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from experiments.sweeps import page
from experiments.sweeps.sweepable import Metric

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
METRICS = {
    "gain": Metric("a gain", dims=("step",)),
    "loss": Metric("a loss", units="nat", larger_is_better=False),
}
MANIFEST = {
    "command": "python -m experiments.sweep",
    "git": {"commit": "unknown", "dirty": "unknown"},
    "code_hash": "abc",
    "versions": {"python": "3"},
    "runs": {"total": 24, "finished": 23, "failed": 1, "remaining": 0},
    "failures": [{"setting": {"k": 8, "seed": 0}, "error": "</script><b id='injected'>ValueError"}],
}


def make_dataset() -> xr.Dataset:
    """Gains k * rate * step, losses the same upside down; the seeds add -1, 0 and 1."""
    ks, rates, seeds, steps = [2, 4], ["a", "b", "c", "d"], [0, 1, 2], np.arange(1, 4)
    final = np.array(ks)[:, None, None] * np.arange(1, 5)[:, None] + np.array([-1.0, 0.0, 1.0])
    gain = final[..., None] * steps / 3
    gain[1, 3, 0] = np.nan  # a run that failed: its setting is compared with no other
    return xr.Dataset(
        {
            "gain": (("k", "rate", "seed", "step"), gain),
            "loss": (("k", "rate", "seed"), final),
        },
        {"k": ks, "rate": rates, "seed": seeds, "step": steps},
        {"experiment": "toy & co"},
    )


class Elements(HTMLParser):
    """Counts of elements by name and class, and the text of each table cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[tuple[str, Mapping[str, str | None]]] = []
        self.cells: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append((tag, dict(attrs)))
        if tag == "td":
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells and self.names[-1][0] == "td":
            self.cells[-1] += data

    def count(self, tag: str, **attributes: str) -> int:
        return sum(t == tag and attributes.items() <= found.items() for t, found in self.names)


def test_the_page_needs_nothing_but_itself() -> None:
    text = page.render(make_dataset(), METRICS, "gain", MANIFEST)
    assert text == page.render(make_dataset(), METRICS, "gain", MANIFEST)
    assert not re.search(
        r"""(src|href)\s*=|@import|url\(|https?://(?!www\.w3\.org/2000/svg)""", text
    )
    assert "[[" not in text.replace("[[68", "")
    assert "toy &amp; co" in text


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser is installed: none of {', '.join(BROWSERS)}")
    return found


def drawn(browser: str, folder: Path, metric: str) -> str:
    """The document after its program ran in a real browser."""
    file = folder / "sweep.html"
    file.write_text(page.render(make_dataset(), METRICS, metric, MANIFEST))
    command = [browser, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom"]
    answer = subprocess.run(
        [*command, file.as_uri()], capture_output=True, text=True, timeout=60, check=True
    )
    return answer.stdout


def test_a_browser_shows_the_best_settings_and_the_curves(browser: str, tmp_path: Path) -> None:
    text = drawn(browser, tmp_path, "gain")
    elements = Elements(text)
    assert elements.cells[:4] == ["4", "c", "12", "11 to 13"]
    assert elements.count("tr") == 1 + 7
    assert elements.count("polyline", **{"class": "run"}) == 7
    assert elements.count("path", **{"class": "run curve"}) == 7
    assert "23 of 24 runs finished, 1 failed." in text
    assert elements.count("b") == 0, "the text of an error became part of the page"


def test_a_smaller_loss_is_better_and_a_number_has_no_curve(browser: str, tmp_path: Path) -> None:
    text = drawn(browser, tmp_path, "loss")
    elements = Elements(text)
    assert elements.cells[:4] == ["2", "a", "2", "1 to 3"]
    assert elements.count("polyline", **{"class": "run"}) == 8
    assert elements.count("path", **{"class": "run curve"}) == 0
    assert "a loss (nat), mean over 3 seed(s); smaller is better" in text
