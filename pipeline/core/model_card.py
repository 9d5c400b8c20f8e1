"""The model card: what a person must know of a version before approving or using it.

After Mitchell et al. 2019 (arXiv:1810.03993). Every figure comes from a file that a stage left; what is not
there is said to be missing. What came from data or people is escaped, in Markdown and so in HTML.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core import carbon, model_package
from pipeline.core.artifacts import read_json, writing_file
from pipeline.core.evidence_tables import (
    Table,
    intervals_of,
    of_rows,
    pairs,
    shown,
    tables,
    with_interval,
    words,
)
from pipeline.core.paths import Paths
from pipeline.core.source_state import SourceState
from pipeline.core.verdict import PHASES

TEMPLATE, PAGE = (Path(__file__).with_name(f"model_card.{kind}.j2") for kind in ("md", "html"))
STYLE = Path(__file__).with_name("page.css")
BEFORE_REGISTER = tuple(PHASES)[: tuple(PHASES).index("register")]
ROWS_SHOWN = 40  # of one table
WORST_SHOWN = 8  # slices
PLACES = ("package", "version", "member", "url", "path")  # of a source, where it says them
NOT_DETAILS = ("metrics", "intervals", "gates", "slices")  # of result.json; they are shown apart
SHORTENED = "\n\n_Shortened: the whole card is `model_card.md` among the artifacts of the run._\n"
SPECIAL = re.compile(r"[\\`*_{}\[\]|~#]")  # what Markdown would take for more than a character
CHECKSUM = re.compile(r"\b[0-9a-f]{40,64}\b")
BEGINNING = re.compile(r"^(\d*)([-+.)])(?=\s)")  # what would begin a list

Evidence = Mapping[str, Mapping[str, Any]]


@dataclass
class _Files:
    """Reads what stages left, and remembers what is not there."""

    root: Path
    missing: list[str] = field(default_factory=list)

    def read(self, path: Path) -> dict[str, Any]:
        if not path.is_file():
            self.missing.append(str(path.relative_to(self.root)))
            return {}
        found: dict[str, Any] = read_json(path)
        return found


def write(paths: Paths, version: str, source: SourceState) -> str:
    """Writes reports/P/model_card.md and model_card.html; gives the Markdown.

    version: of the model registry; source: the commit and the parameters that it is registered from
    """
    card = render(paths, version, source)
    for path, content in (
        (paths.model_card, card),
        (paths.model_card.with_suffix(".html"), _page(paths, card)),
    ):
        with writing_file(path) as partial:
            partial.write_text(content)
    return card


def shortened(card: str, length_max: int) -> str:
    """The card, cut before a heading so that it has no more than `length_max` characters."""
    if len(card) <= length_max:
        return card
    cut = card.rfind("\n## ", 0, length_max - len(SHORTENED))
    return card[: max(cut, 0)].rstrip() + SHORTENED


def render(paths: Paths, version: str, source: SourceState) -> str:
    """The card as Markdown."""
    import jinja2

    files = _Files(paths.root)
    description = files.read(paths.model / model_package.DESCRIPTION)
    charter = files.read(paths.reports / "plan.json").get("charter", {})
    result = files.read(paths.reports / "evaluation" / "result.json")
    provenance = files.read(paths.collected / "provenance.json")
    audit = files.read(paths.labelled / "audit.json")
    sizes = files.read(paths.prepared / "sizes.json")
    read = {stage: files.read(paths.evidence(stage)) for stage in BEFORE_REGISTER}
    evidence = {stage: found for stage, found in read.items() if found}
    train = evidence.get("train", {})
    known = charter and len(evidence) == len(BEFORE_REGISTER)
    environment = jinja2.Environment(
        autoescape=True,
        finalize=_escaped,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(TEMPLATE.read_text()).render(
        project=paths.project,
        version=version,
        source=source,
        model=_model(description),
        charter=charter,
        metrics=_metrics(result),
        gates=_gates(evidence),
        caveats=[
            *_of_gates(evidence),
            *_of_slices(result),
            *_of_training(train),
            *_of_metrics(result),
            *_of_source(source),
        ],
        worst=_worst(result),
        slices=len(_slices(result)),
        sources=_sources(provenance),
        data=_data(sizes, description, audit),
        summary=train.get("summary", ""),
        training=_training(train),
        footprint=carbon.footprint(evidence.values(), charter["energy"]) if known else None,
        first=BEFORE_REGISTER[0],
        last=BEFORE_REGISTER[-1],
        origin=_origin(source, train),
        details=tables(_details(result), ROWS_SHOWN),
        missing=files.missing,
    )


def _escaped(value: Any) -> Any:
    """A value as Markdown that shows it and does nothing else; what a macro made is Markdown already."""
    from markupsafe import Markup

    if hasattr(value, "__html__"):
        return value
    text = SPECIAL.sub(r"\\\g<0>", " ".join(str(value).split()))
    text = BEGINNING.sub(r"\1\\\2", text)
    return Markup(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def _page(paths: Paths, card: str) -> str:
    """The card as an HTML page that stands alone."""
    import jinja2
    from markdown_it import MarkdownIt

    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(card)
    # Where a narrow page may break them; they are copied without.
    html = CHECKSUM.sub(lambda found: "<wbr>".join(re.findall(".{1,8}", found[0])), html)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(PAGE.read_text())
    return page.render(project=paths.project, style=STYLE.read_text(), card=html)


def _model(description: Mapping[str, Any]) -> Table | None:
    hidden = ("format", "files", "data_sha256")
    figures = {name: value for name, value in description.items() if name not in hidden}
    checksums = {f"SHA-256 of {name}": value for name, value in description.get("files", {}).items()}
    return pairs("", figures | checksums, ROWS_SHOWN) if description else None


def _metrics(result: Mapping[str, Any]) -> Table | None:
    intervals = result.get("intervals", {})
    rows = tuple(
        (words(name), with_interval(value, intervals.get(name)))
        for name, value in result.get("metrics", {}).items()
    )
    return Table("", ("on unseen data", "figure"), rows, 0) if rows else None


def _gates(evidence: Evidence) -> Table | None:
    rows = tuple(
        (
            stage,
            words(gate["name"]),
            with_interval(gate["value"], gate["interval"]),
            f"{gate['rule']} {shown(gate['bound'])}",
            "holds" if gate["passed"] else "FAILS",
        )
        for stage, found in evidence.items()
        for gate in found["gates"]
    )
    return Table("", ("stage", "requirement", "met", "required", ""), rows, 0) if rows else None


def _of_gates(evidence: Evidence) -> list[str]:
    """Gates that fail, and those that hold while the interval lies on both sides of the bound."""
    found = []
    for stage, told in evidence.items():
        for gate in told["gates"]:
            met = f"{stage}: {words(gate['name'])} is {with_interval(gate['value'], gate['interval'])}"
            required = f"{gate['rule']} {shown(gate['bound'])}"
            if not gate["passed"]:
                found.append(f"{met}, required is {required}: this gate FAILS. To do: {gate['remedy']}")
            elif gate["interval"] and not _surely(gate):
                found.append(
                    f"{met}: it holds, but its interval reaches beyond what is required, {required}."
                )
    return found


def _surely(gate: Mapping[str, Any]) -> bool:
    low, high = gate["interval"]
    return bool(low >= gate["bound"] if gate["rule"] == "at least" else high <= gate["bound"])


def _of_training(train: Mapping[str, Any]) -> list[str]:
    alarms = train.get("metrics", {}).get("alarms", 0)
    return (
        [f"train: {shown(int(alarms))} alarm(s) while the network learnt: {train['summary']}"]
        if alarms
        else []
    )


def _of_slices(result: Mapping[str, Any]) -> list[str]:
    """Slices whose interval lies wholly on the worse side of the figure of all unseen data."""
    slices, found = _slices(result), []
    for name, row in slices:
        whole, (low, high) = result["metrics"].get(name), intervals_of(row)[name][0]
        if whole is not None and (low > whole if _less_is_better(name, result) else high < whole):
            met = with_interval(row[name], (low, high))
            found.append(f"slice {row['slice']}: {words(name)} is {met}, {shown(whole)} over all.")
    summary = (
        f"{len(found)} of {len(slices)} slices have their whole interval on the worse side of the figure "
        "over all unseen data; by chance alone it would be about one in forty."
    )
    return [summary, *found[:WORST_SHOWN]] if found else []


def _of_metrics(result: Mapping[str, Any]) -> list[str]:
    metrics, intervals = result.get("metrics", {}), result.get("intervals", {})
    without = [words(name) for name in metrics if name not in intervals]
    return [f"Without an interval, so not known how surely: {', '.join(without)}."] if without else []


def _of_source(source: SourceState) -> list[str]:
    told = "It was registered with changes that are not committed: the commit alone does not make it again."
    return [] if source.clean else [told]


def _less_is_better(metric: str, result: Mapping[str, Any]) -> bool:
    """As the gate on this metric has it; more is better where there is none."""
    return any(gate["name"] == metric and gate["rule"] == "at most" for gate in result["gates"])


def _slices(result: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """The slices that were judged, the worst first, each with the name of the figure that it is judged by.

    `slices` of result.json: rows, or a mapping that has them under `rows`. A row has its name as `slice`, and
    is judged by its first figure that has an interval; `judged` is false where it is too small.
    """
    told = result.get("slices", [])
    rows = told.get("rows", []) if isinstance(told, Mapping) else told
    judged = [row for row in rows if row.get("judged", True) and intervals_of(row)]
    found = [(next(iter(intervals_of(row))), row) for row in judged]
    return sorted(found, key=lambda of: of[1][of[0]] * (-1 if _less_is_better(of[0], result) else 1))


def _worst(result: Mapping[str, Any]) -> Table | None:
    rows = [row for _, row in _slices(result)]
    return of_rows("", rows[:WORST_SHOWN], WORST_SHOWN) if rows else None


def _details(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the evaluation left beside what is shown apart."""
    rest = {name: value for name, value in result.items() if name not in NOT_DETAILS}
    slices = result.get("slices")
    if isinstance(slices, Mapping):
        rest["slices"] = {name: value for name, value in slices.items() if name != "rows"}
    return rest


def _sources(provenance: Mapping[str, Any]) -> Table | None:
    rows = [
        {
            "source": source["name"],
            "licence": source["licence"],
            "from": " ".join([source["kind"], *(str(source[key]) for key in PLACES if key in source)]),
            "rows": source.get("rows", source.get("parts")),
            "SHA-256": source["sha256"],
        }
        for source in provenance.get("sources", ())
    ]
    return of_rows("", rows, ROWS_SHOWN) if rows else None


def _data(
    sizes: Mapping[str, Any], description: Mapping[str, Any], audit: Mapping[str, Any]
) -> Sequence[Table]:
    parts = {f"rows of {part}": rows for part, rows in sizes.items()}
    if "data_sha256" in description:
        parts["SHA-256 of what it was trained on"] = description["data_sha256"]
    labels = {name: value for name, value in audit.items() if not isinstance(value, list)}
    found = {"Parts": parts, "Labels, and how many of them are doubted": labels}
    return [pairs(title, values, ROWS_SHOWN) for title, values in found.items() if values]


def _training(train: Mapping[str, Any]) -> Sequence[Table]:
    if not train:
        return []
    cost, environment = train["cost"], train["environment"]
    on = {
        "begun": cost["began"],
        "seconds": cost["seconds"],
        "peak memory MiB": cost["peak_memory_mib"],
        "processor": environment["processor"],
        "cores": cost["cores"],
        "GPUs": environment["gpus"] or "none",
    }
    recipe = train["params"]["train"]
    return [pairs("Time and machine", on, ROWS_SHOWN), pairs("Recipe, with its seed", recipe, ROWS_SHOWN)]


def _origin(source: SourceState, train: Mapping[str, Any]) -> Sequence[Table]:
    state = {
        "git commit": source.commit,
        "changes that are not committed": not source.clean,
        "SHA-256 of params.yaml": source.params,
    }
    found = [pairs("Registered from", state, ROWS_SHOWN)]
    if train:
        environment = train["environment"]
        packages = {"Python": environment["python"], "system": environment["system"]} | environment[
            "packages"
        ]
        found.append(pairs("Trained with", packages, ROWS_SHOWN))
    return found
