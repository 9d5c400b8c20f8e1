"""Great Expectations finds what is wrong, and says where."""

import warnings
from pathlib import Path

import pandas as pd
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import great_expectations.expectations as gxe

from pipeline.core import expectations
from pipeline.core.expectations import Table

pytestmark = pytest.mark.filterwarnings("ignore")
TABLE = pd.DataFrame({"label": [0, 1, 1, 7], "ink": [0.1, 0.2, 0.3, 0.95]})


def test_broken_expectations_are_told_with_column_and_examples(tmp_path: Path) -> None:
    suite = [
        gxe.ExpectColumnValuesToBeInSet(column="label", value_set=[0, 1]),
        gxe.ExpectColumnValuesToBeBetween(column="ink", min_value=0, max_value=0.9),
        gxe.ExpectColumnMeanToBeBetween(column="ink", max_value=0.5),
    ]
    (label, ink, mean), rows = expectations.check("p", [Table("data", TABLE, suite)], tmp_path / "docs")
    assert rows == {"data": 4}
    assert (label.met, ink.met, mean.met) == (False, False, True)
    assert label.examples == [7] and ink.examples == [0.95]
    assert str(label) == (
        "data.label: expect_column_values_to_be_in_set (value_set [0, 1]), observed 1 of 4 unexpected, "
        "for instance 7 in row 3"
    )
    assert mean.observed == pytest.approx(0.3875)
    assert (tmp_path / "docs" / "index.html").is_file()


@pytest.mark.parametrize(
    ("expectation", "told"),
    [
        (gxe.ExpectColumnValuesToBeBetween(column="ink", max_value=0.9), "0.95 in row d"),
        (gxe.ExpectColumnValuesToNotBeNull(column="note"), "None in row b"),
        (gxe.ExpectColumnValuesToBeUnique(column="label"), "1 in row b, 1 in row c"),
        (gxe.ExpectColumnMeanToBeBetween(column="copy", max_value=0.1), "True in row c"),
        (gxe.ExpectColumnSumToBeBetween(column="copy", max_value=0), "True in row c"),
        (gxe.ExpectColumnMaxToBeBetween(column="ink", max_value=0.25), "0.95 in row d, 0.3 in row c"),
        (gxe.ExpectColumnMinToBeBetween(column="ink", min_value=0.15), "0.1 in row a, 0.2 in row b"),
    ],
)
def test_a_broken_expectation_names_the_rows_by_their_key(
    tmp_path: Path, expectation: gxe.Expectation, told: str
) -> None:
    rows = TABLE.assign(id=["a", "b", "c", "d"], note=["x", None, "x", "x"], copy=[False, False, True, False])
    (outcome,), _ = expectations.check("p", [Table("data", rows, [expectation], "id")], tmp_path / "docs")
    assert f"for instance {told}" in str(outcome) and not outcome.met


def test_a_column_that_is_missing_fails(tmp_path: Path) -> None:
    suite = [gxe.ExpectColumnValuesToNotBeNull(column="nowhere")]
    (found,), _ = expectations.check("p", [Table("data", TABLE, suite)], tmp_path / "docs")
    assert not found.met


def test_a_suite_that_cannot_fail_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="checks nothing"):
        expectations.check("p", [Table("data", TABLE, [])], tmp_path)
    with pytest.raises(ValueError, match="no table"):
        expectations.check("p", [], tmp_path)


def test_several_tables_stand_side_by_side_in_the_data_docs(tmp_path: Path) -> None:
    tables = (
        Table(name, TABLE, [gxe.ExpectColumnValuesToNotBeNull(column="label")])
        for name in ("first", "second")
    )
    outcomes, rows = expectations.check("p", tables, tmp_path / "docs")
    assert [o.table for o in outcomes] == ["first", "second"] == list(rows)
    pages = [str(path) for path in (tmp_path / "docs").rglob("*.html")]
    for name in ("p-first", "p-second"):
        assert any(name in page for page in pages)
