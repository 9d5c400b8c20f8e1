"""Values change, comments stay."""

from datetime import date

import pytest
import yaml

from pipeline.projects.yaml_text import lines_of, replaced

TEXT = """\
projects:
  shop:
    goals:         # what it must reach
      recall: 0.2  # share
      gain: 0.1
    risks:
      - one
      - two

    sources:       # where from
      - name: a
        columns:
          goals: 3
    split: {from: 1}
  other:
    goals: 7
""".splitlines()


def test_the_lines_of_a_key_are_those_of_its_block() -> None:
    assert lines_of(TEXT, ("projects", "shop", "goals")) == (2, 5)
    assert lines_of(TEXT, ("projects", "other", "goals")) == (15, 16)
    with pytest.raises(KeyError, match=r"projects\.shop\.gaols"):
        lines_of(TEXT, ("projects", "shop", "gaols"))


def test_a_value_is_replaced_and_its_comment_stays_where_it_was() -> None:
    new = replaced(TEXT, ("projects", "shop", "goals", "recall"), 0.3, block=False)
    assert new[3] == "      recall: 0.3  # share" and new[:3] + new[4:] == TEXT[:3] + TEXT[4:]
    new = replaced(TEXT, ("projects", "shop", "goals", "recall"), date(2017, 1, 2), block=False)
    assert new[3] == "      recall: '2017-01-02' # share"
    assert replaced(TEXT, ("projects", "shop", "goals", "gain"), None, block=False)[4] == "      gain: null"


def test_a_block_is_replaced_whole() -> None:
    new = replaced(TEXT, ("projects", "shop", "risks"), ["three: #", "four"], block=True)
    new = replaced(new, ("projects", "shop", "sources"), [{"name": "b", "columns": ["x", "y"]}], block=True)
    found = yaml.safe_load("\n".join(new))["projects"]
    assert found["shop"]["risks"] == ["three: #", "four"]
    assert found["shop"]["sources"] == [{"name": "b", "columns": ["x", "y"]}]
    assert found["shop"]["split"] == {"from": 1} and found["other"] == {"goals": 7}
