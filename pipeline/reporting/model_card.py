"""The model card: what a person must know of a version before approving or using it.

After Mitchell et al. 2019 (arXiv:1810.03993). Every figure comes from a file that a stage left; what is not
there is said to be missing. What came from data or people is escaped, in Markdown and so in HTML.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.core import model_package
from pipeline.core.artifacts import read_json, writing_file
from pipeline.core.paths import Paths
from pipeline.core.source_state import SourceState
from pipeline.reporting import carbon, model_card_tables
from pipeline.reporting.model_card_caveats import caveats, judged_slices
from pipeline.reporting.verdict import PHASES

TEMPLATE, PAGE = (Path(__file__).with_name(f"model_card.{kind}.j2") for kind in ("md", "html"))
STYLE = Path(__file__).with_name("page.css")
BEFORE_REGISTER = tuple(PHASES)[: tuple(PHASES).index("register")]
SHORTENED = "\n\n_Shortened: the whole card is `model_card.md` among the artifacts of the run._\n"
SPECIAL = re.compile(r"[\\`*_{}\[\]|~#]")  # what Markdown would take for more than a character
CHECKSUM = re.compile(r"\b[0-9a-f]{40,64}\b")
BEGINNING = re.compile(r"^(\d*)([-+.)])(?=\s)")  # what would begin a list


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
        model=model_card_tables.model(description),
        charter=charter,
        metrics=model_card_tables.metrics(result),
        gates=model_card_tables.gates(evidence),
        caveats=caveats(evidence, result, source),
        worst=model_card_tables.worst(result),
        slices=len(judged_slices(result)),
        sources=model_card_tables.sources(provenance),
        data=model_card_tables.data(sizes, description, audit),
        summary=train.get("summary", ""),
        training=model_card_tables.training(train),
        footprint=carbon.footprint(evidence.values(), charter["energy"]) if known else None,
        first=BEFORE_REGISTER[0],
        last=BEFORE_REGISTER[-1],
        origin=model_card_tables.origin(source, train),
        details=model_card_tables.details(result),
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
