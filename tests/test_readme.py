"""README.md is true: examples run, generated sections are current, links lead somewhere."""

import doctest
import json
import re

import pytest

from experiments import readme
from experiments.common.configuration import PROJECT_ROOT

TEXT = readme.README.read_text(encoding="utf-8")


def test_examples_run():
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL))
    test = doctest.DocTestParser().get_doctest(code, {}, "README.md", None, 0)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


def test_generated_sections_are_current():
    assert readme.stale_sections(TEXT) == [], "run: make readme"


def test_a_stale_section_is_named():
    stale = TEXT.replace("| `maxpo` | J_K | 1", "| `maxpo` | J_1 | 1")
    assert readme.stale_sections(stale) == ["estimators"]


def test_the_findings_table_survives_a_bar(tmp_path, monkeypatch):
    finding = {"figure": "toy", "sentence": "P(A | B) > 0", "measured": "0.1", "holds": False}
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "findings.json").write_text(json.dumps([finding]))
    monkeypatch.setattr(readme, "PROJECT_ROOT", tmp_path)
    last_row = readme.findings_table().splitlines()[-1]
    assert last_row == r"| [toy](figures/README.md#toy) | P(A \| B) > 0 | 0.1 | **does not hold** |"


def test_an_unknown_section_is_refused():
    with pytest.raises(ValueError, match="wrong"):
        readme.generated(TEXT + "<!-- begin: wrong -->\n<!-- end: wrong -->")


@pytest.mark.parametrize("name", ["README.md", "figures/README.md"])
def test_links_lead_somewhere(name):
    page = PROJECT_ROOT / name
    if not page.exists():
        pytest.skip(f"{name} is not there yet")
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [
        link for link in links if not link.startswith("http") and not (page.parent / link).exists()
    ]
    assert missing == []
