"""What users read is complete: parameters are explained, links lead somewhere."""

import re
from datetime import date

import pytest
import yaml

from tests.imports import ROOT

PAGES = sorted(str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))
# Values that say themselves what they are.
PLAIN = {"task", "purpose", "users", "decision", "policy", "name", "package", "version", "member", "sha256",
         "licence", "allowed_licences", "classes", "salt", "seed"}  # fmt: skip


def test_every_number_in_the_parameters_says_what_it_means() -> None:
    lines = (ROOT / "params.yaml").read_text().splitlines()
    keys = [re.match(r"\s*(?:- )?(\w+): +([\d.e+-]+ *(?:#.*)?$|\[)?", line) for line in lines]
    numbers = {key.group(1) for key in keys if key and key.group(2)}
    explained = {key.group(1) for key, line in zip(keys, lines, strict=True) if key and "# " in line}
    assert numbers - explained - PLAIN == set()


def test_dates_in_the_parameters_are_in_quotes() -> None:
    """DVC refuses a YAML date before any stage can say what is wrong."""
    loaded = yaml.safe_load((ROOT / "params.yaml").read_text())
    found, todo = [], [loaded]
    while todo:
        value = todo.pop()
        children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        todo += children
        found += [value] if isinstance(value, date) else []
    assert found == []


@pytest.mark.parametrize("page", PAGES)
def test_links_between_files_lead_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text())
    assert [link for link in links if not (folder / link).exists()] == []
