"""The report: one HTML page that stands alone, pictures included."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.core.artifacts import read_json
from pipeline.core.gates import Gate
from pipeline.core.parameters import Plan
from pipeline.core.paths import Paths
from pipeline.core.verdict import PHASES, Verdict

TEMPLATE = Path(__file__).with_name("report.html.j2")


def render(
    paths: Paths,
    plan: Plan,
    evidence: dict[str, dict[str, Any]],
    verdict: Verdict,
    gates: Sequence[Gate],
    cost: dict[str, float],
) -> str:
    """The page as HTML; everything that came from data is escaped."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    shown = {stage: found["gates"] for stage, found in evidence.items()}
    shown["review"] = [gate.as_json() for gate in gates]
    return environment.from_string(TEMPLATE.read_text()).render(
        project=paths.project,
        plan=plan,
        phases=PHASES,
        evidence=evidence,
        gates=shown,
        verdict=verdict,
        cost=cost,
        expectations=read_json(paths.reports / "validation" / "result.json")["expectations"],
        pictures=_pictures(paths),
        links=[link for link in LINKS if (paths.reports / link[0]).exists()],
    )


LINKS = (
    ("validation/docs/index.html", "Data Docs (Great Expectations)"),
    ("validation/leakage.csv", "Near duplicates across the parts"),
    ("validation/outliers.csv", "The most unusual items"),
    ("evaluation/result.json", "Evaluation as JSON"),
    ("monitoring/result.json", "Monitoring as JSON"),
    ("registration.json", "Registration"),
    ("deployment.json", "Deployment"),
)


def _pictures(paths: Paths) -> list[dict[str, Any]]:
    """Every picture of the project's stages, in the lifecycle's order, as data URIs."""
    places = (
        paths.labelled,
        paths.reports / "validation",
        paths.reports,
        paths.model,
        paths.reports / "evaluation",
        paths.reports / "monitoring",
    )
    return [
        {
            "name": picture.stem.replace("_", " "),
            "wide": _is_wide(picture.read_bytes()),
            "uri": f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}",
        }
        for place in places
        for picture in sorted(place.glob("*.png"))
    ]


def _is_wide(png: bytes) -> bool:
    """Whether a PNG is more than twice as wide as high; both stand in its header, bytes 16 to 24."""
    width, height = (int.from_bytes(png[start : start + 4]) for start in (16, 20))
    return width > 2 * height
