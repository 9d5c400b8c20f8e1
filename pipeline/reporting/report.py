"""The report: one HTML page that stands alone, pictures included."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.core.artifacts import read_json
from pipeline.core.gates import Gate
from pipeline.core.parameters import Plan
from pipeline.core.paths import Paths
from pipeline.reporting.evidence_tables import read_csv, with_interval, words
from pipeline.reporting.verdict import PHASES, Verdict
from pipeline.testing.figures import Figure

ROWS_SHOWN = 200  # of one table
WIDE = 900  # pixels
TEMPLATE, STYLE = (Path(__file__).with_name(name) for name in ("report.html.j2", "page.css"))


def render(
    paths: Paths,
    plan: Plan,
    evidence: dict[str, dict[str, Any]],
    verdict: Verdict,
    gates: Sequence[Gate],
    cost: dict[str, float],
    figures: Sequence[Figure],
) -> str:
    """The page as HTML; everything that came from data is escaped.

    figures: how the task wants its evaluation shown
    """
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    shown = {stage: found["gates"] for stage, found in evidence.items()}
    shown["review"] = [gate.as_json() for gate in gates]
    return environment.from_string(TEMPLATE.read_text()).render(
        project=paths.project,
        style=STYLE.read_text(),
        plan=plan,
        phases=PHASES,
        evidence=evidence,
        gates=shown,
        verdict=verdict,
        cost=cost,
        expectations=read_json(paths.reports / "validation" / "result.json")["expectations"],
        card=paths.model_card.with_suffix(".html").is_file(),
        metrics=_metrics(paths),
        tested=_tested(paths.reports / "evaluation", figures),
        pictures=_pictures(paths),
        links=[link for link in LINKS if (paths.reports / link[0]).exists()],
    )


LINKS = (
    ("model_card.html", "Model card"),
    (
        "validation/docs/index.html",
        "Data Docs (Great Expectations), a page that loads its scripts and styles from the network",
    ),
    ("validation/leakage.csv", "Near duplicates across the parts"),
    ("validation/outliers.csv", "The most unusual items"),
    ("evaluation/result.json", "Evaluation as JSON"),
    ("monitoring/result.json", "Monitoring as JSON"),
    ("registration.json", "Registration"),
    ("deployment.json", "Deployment"),
)


def _metrics(paths: Paths) -> list[tuple[str, str]]:
    """The headline figures of the evaluation, each with its interval."""
    result = read_json(paths.reports / "evaluation" / "result.json")
    intervals = result["intervals"]
    return [
        (words(name), with_interval(value, intervals.get(name))) for name, value in result["metrics"].items()
    ]


def _tested(folder: Path, figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """The pictures and tables of the evaluation: as the task presents them, then the others by name."""
    described = {figure.name: figure for figure in figures}
    there = {path.stem for path in (*folder.glob("*.png"), *folder.glob("*.csv"))}
    found = []
    for name in [*(name for name in described if name in there), *sorted(there - set(described))]:
        picture, table, figure = folder / f"{name}.png", folder / f"{name}.csv", described.get(name)
        found.append(
            {
                "title": figure.title if figure else words(name),
                "caption": figure.caption if figure else "",
                "table": read_csv(table, ROWS_SHOWN) if table.is_file() else None,
                **(_embedded(picture) if picture.is_file() else {"uri": None, "wide": True}),
            }
        )
    return found


def _pictures(paths: Paths) -> list[dict[str, Any]]:
    """Every picture of the other stages, in the lifecycle's order."""
    places = (
        paths.labelled,
        paths.reports / "validation",
        paths.reports,
        paths.model,
        paths.reports / "monitoring",
    )
    return [
        {"name": words(picture.stem), **_embedded(picture)}
        for place in places
        for picture in sorted(place.glob("*.png"))
    ]


def _embedded(picture: Path) -> dict[str, Any]:
    """A PNG as a data URI. wide: too much so for half the page, as its header says in bytes 16 to 24."""
    png = picture.read_bytes()
    width, height = (int.from_bytes(png[start : start + 4]) for start in (16, 20))
    return {
        "wide": width > max(2 * height, WIDE),
        "uri": f"data:image/png;base64,{base64.b64encode(png).decode()}",
    }
