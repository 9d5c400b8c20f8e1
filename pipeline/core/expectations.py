"""Great Expectations without its project folder: tables, their suites, and Data Docs on disk."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core import quiet
from pipeline.core.findings import Findings

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.expectations import Expectation

EXAMPLES = 5  # rows named when an expectation is broken
SMALLEST = "expect_column_min_to_be_between"


@dataclass(frozen=True)
class Table:
    """rows: what is checked, all of it; suite: what is expected of it. `name` is unique in a project.

    key: the column that names a row to a person; without one a row is told by its place, from 0.
    """

    name: str
    rows: "pd.DataFrame"
    suite: Sequence["Expectation"]
    key: str | None = None


@dataclass(frozen=True)
class Examination:
    """What a task's `validate` hands back to the stage.

    tables: held against their suites, one after the other; findings: what the task measured beside them
    """

    tables: Iterable[Table]
    findings: tuple[Findings, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """One expectation and what was met.

    examples: values that broke it; rows: the row of each, by its key or its place in the table
    """

    table: str
    expectation: str
    column: str | None
    allowed: dict[str, Any]
    observed: Any
    met: bool
    examples: list[Any]
    rows: list[Any]

    def __str__(self) -> str:
        where = f"{self.table}.{self.column}" if self.column else self.table
        allowed = ", ".join(f"{name} {value}" for name, value in self.allowed.items())
        found = [f"{value!r} in row {row}" for value, row in zip(self.examples, self.rows, strict=True)]
        told = f", for instance {', '.join(found)}" if found else ""
        return f"{where}: {self.expectation} ({allowed or 'no exception'}), observed {self.observed}{told}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def check(project: str, tables: Iterable[Table], docs: Path) -> tuple[list[Outcome], dict[str, int]]:
    """Validates tables one after the other, and writes browsable Data Docs of all of them to `docs`.

    Gives the outcomes and the number of rows of each table. A table that an iterator makes is freed
    before the next is asked for. An empty suite, or none, is an error: it could not fail.
    """
    context = _context(docs)
    outcomes: list[Outcome] = []
    rows = {}
    for table in tables:
        outcomes += _check(context, f"{project}-{table.name}", table)
        rows[table.name] = len(table.rows)
    if not rows:
        raise ValueError(f"{project}: no table to check")
    return outcomes, rows


def _context(docs: Path) -> Any:
    quiet.silence()
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    for site in list(context.get_docs_sites_urls()):
        context.delete_data_docs_site(str(site["site_name"]))
    context.add_data_docs_site(
        site_name="docs",
        site_config={
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {
                "class_name": "TupleFilesystemStoreBackend",
                "base_directory": str(docs.resolve()),
            },
        },
    )
    return context


def _check(context: Any, name: str, table: Table) -> list[Outcome]:
    import great_expectations as gx

    if not table.suite:
        raise ValueError(f"{name}: a suite without expectations checks nothing")
    batch = (
        context.data_sources.add_pandas(name)
        .add_dataframe_asset(name)
        .add_batch_definition_whole_dataframe("all")
    )
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(
            name=name,
            data=batch,
            suite=context.suites.add(gx.ExpectationSuite(name=name, expectations=list(table.suite))),
        )
    )
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(
            name=name,
            validation_definitions=[definition],
            actions=[gx.checkpoint.UpdateDataDocsAction(name="docs", site_names=["docs"])],
            result_format={
                "result_format": "SUMMARY",
                "partial_unexpected_count": EXAMPLES,
                **({"unexpected_index_column_names": [table.key]} if table.key else {}),
            },
        )
    )
    result = checkpoint.run(batch_parameters={"dataframe": table.rows})
    (run,) = result.run_results.values()
    return [_outcome(table, item) for item in run["results"]]


def _outcome(table: Table, item: Any) -> Outcome:
    config = item["expectation_config"]
    allowed = {k: v for k, v in config["kwargs"].items() if k not in ("batch_id", "column")}
    found = item["result"]
    error = item["exception_info"].get("exception_message")
    observed = error or found.get("observed_value")
    if "unexpected_count" in found:
        observed = f"{found['unexpected_count']} of {found['element_count']} unexpected"
    examples, rows = ([], []) if item["success"] or error else _culprits(table, config, found)
    return Outcome(
        table=table.name,
        expectation=config["type"],
        column=config["kwargs"].get("column"),
        allowed=allowed,
        observed=_plain(observed),
        met=bool(item["success"]),
        examples=[_plain(value) for value in examples],
        rows=[_plain(row) for row in rows],
    )


def _culprits(table: Table, config: Any, found: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    """Values that broke an expectation, and the row of each: at most EXAMPLES.

    Great Expectations names rows only where it looks at them one by one. Where a sum, a mean or an
    extreme is beyond a bound, these are the rows of the values that lie farthest that way.
    """
    kwargs = config["kwargs"]
    if "partial_unexpected_index_list" in found:
        rows = [row[table.key] if table.key else row for row in found["partial_unexpected_index_list"]]
        values = found.get("partial_unexpected_list") or [None] * len(rows)
        return values, rows
    observed, column = _plain(found.get("observed_value")), kwargs.get("column")
    if column not in table.rows or not isinstance(observed, int | float):
        return [], []
    values = table.rows[column]
    if observed > kwargs.get("max_value", math.inf):
        worst = values[values > 0].astype(float).nlargest(EXAMPLES)
    elif config["type"] == SMALLEST and observed < kwargs.get("min_value", -math.inf):
        worst = values.nsmallest(EXAMPLES)
    else:
        return [], []
    names = table.rows.loc[worst.index, table.key] if table.key else worst.index
    return values[worst.index].tolist(), list(names)


def _plain(value: Any) -> Any:
    """A numpy number as the Python number that JSON can hold; what is not a number as None."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and math.isnan(value) else value
