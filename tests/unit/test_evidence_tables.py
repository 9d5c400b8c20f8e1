"""Figures of any shape become tables; an interval stands behind its own figure and nowhere else."""

from pathlib import Path

import pytest

from pipeline.reporting.evidence_tables import Table, intervals_of, read_csv, shown, tables


def only(details: dict, rows_max: int = 40) -> Table:
    (found,) = tables(details, rows_max)
    return found


def test_rows_with_a_plain_interval_behind_the_figure_before_it() -> None:
    rows = [{"slice": "few", "items": 1200, "recall": 0.5, "interval": [0.4, 0.6], "baseline": 0.3}]
    found = only({"slices": rows})
    assert (found.title, found.columns) == ("slices", ("slice", "items", "recall", "baseline"))
    assert found.rows == (("few", "1,200", "0.5 [0.4, 0.6]", "0.3"),)
    assert intervals_of(rows[0]) == {"recall": ([0.4, 0.6], ("interval",))}


def test_an_interval_that_does_not_hold_the_figure_before_it_is_not_put_behind_it() -> None:
    row = {"slice": "few", "recall": 0.5, "interval": [-0.2, -0.1]}
    assert intervals_of(row) == {}
    assert only({"slices": [row]}).rows == (("few", "0.5", "-0.2, -0.1"),)


@pytest.mark.parametrize(
    "row",
    [
        {"name": "svm", "gain": 0.5, "gain_interval": [0.25, 0.75], "seconds": 2},
        {"name": "svm", "gain": 0.5, "seconds": 2, "gain_low": 0.25, "gain_high": 0.75},
        {"name": "svm", "gain": 0.5, "low": 0.25, "high": 0.75, "seconds": 2},
    ],
)
def test_the_ways_to_write_an_interval(row: dict) -> None:
    assert only({"shallow": [row]}).rows == (("svm", "0.5 [0.25, 0.75]", "2"),)


def test_names_with_figures_with_intervals_and_with_numbers_side_by_side() -> None:
    lists = {"weekly": {"network": {"recall": [0.2, 0.1, 0.3]}, "top": {"recall": [0.1, 0.0, 0.2]}}}
    assert only(lists).rows == (("network", "0.2 [0.1, 0.3]"), ("top", "0.1 [0, 0.2]"))
    robustness = only({"robustness": {"noise": [0.9, 0.8], "blur": [0.9, 0.7]}})
    assert robustness.columns == ("", "0", "1")
    assert robustness.rows == (("noise", "0.9", "0.8"), ("blur", "0.9", "0.7"))


def test_three_numbers_that_are_no_figure_and_its_interval_stay_numbers() -> None:
    assert only({"robustness": {"noise": {"accuracy": [0.9, 0.8, 0.5]}}}).rows == (
        ("noise", "0.9, 0.8, 0.5"),
    )


def test_what_is_deeper_becomes_tables_of_its_own_and_nothing_is_lost() -> None:
    found = tables({"items": 10, "a": {"b": {"c": 1, "d": {"e": 2}}, "f": None}}, 40)
    assert [(table.title, table.rows) for table in found] == [
        ("", (("items", "10"),)),
        ("a", (("f", "–"),)),
        ("a: b", (("c", "1"),)),
        ("a: b: d", (("e", "2"),)),
    ]


def test_rows_beyond_the_limit_are_counted() -> None:
    found = only({"rows": [{"a": i} for i in range(5)]}, rows_max=2)
    assert (len(found.rows), found.left_out) == (2, 3)


def test_numbers_names_and_long_lists() -> None:
    assert [shown(x) for x in (None, True, 1234567, 0.123456789, float("nan"), "x_y")] == [
        "–", "yes", "1,234,567", "0.12346", "not a number", "x_y",
    ]  # fmt: skip
    assert shown({"a_b": [1, 2]}) == "a b (1, 2)"
    assert shown(list(range(100))).endswith("11, … (100)")


def test_ids_in_a_csv_file_are_no_numbers(tmp_path: Path) -> None:
    path = tmp_path / "worst.csv"
    path.write_text("customer_id,baskets\n1370,1450\n")
    assert read_csv(path, 10).rows == (("1370", "1,450"),)


def test_a_csv_file_with_intervals_and_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "classes.csv"
    path.write_text('class,recall,recall_low,recall_high\n"a, b",0.5,0.25,0.75\nc,,,\n')
    found = read_csv(path, 10)
    assert found.columns == ("class", "recall", "recall low", "recall high")
    assert found.rows == (("a, b", "0.5 [0.25, 0.75]", "", ""), ("c", "", "", ""))
