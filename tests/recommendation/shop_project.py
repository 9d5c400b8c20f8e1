"""A project on the synthetic shop, whose data stages a test can run one by one, in this process."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from pipeline.core import expectations
from pipeline.core.artifacts import read_json, writing_folder
from pipeline.core.expectations import Outcome
from pipeline.core.findings import Findings
from pipeline.core.paths import Paths
from pipeline.tasks.recommendation import collect, label, prepare, validate
from pipeline.tasks.recommendation.parameters import Charter, Collect, Label, Prepare, Validate
from tests import synthetic_shop
from tests.imports import ROOT
from tests.synthetic_shop import Tables


@dataclass
class ShopProject:
    paths: Paths
    section: dict[str, Any]

    @property
    def params(self) -> Any:
        return SimpleNamespace(
            plan=Charter(**self.section["plan"]),
            collect=Collect(**self.section["collect"]),
            label=Label(**self.section["label"]),
            validate=Validate(**self.section["validate"]),
            prepare=Prepare(**self.section["prepare"]),
        )

    def source(self, name: str) -> dict[str, Any]:
        return next(s for s in self.section["collect"]["sources"] if s["name"] == name)

    def replace(self, name: str, table: pa.Table, file_format: str = "parquet") -> None:
        """Another table behind a source; its checksum is put into the parameters."""
        import pyarrow.csv

        source = self.source(name)
        path = (self.paths.root / source["path"]).with_suffix(f".{file_format}")
        (pq.write_table if file_format == "parquet" else pyarrow.csv.write_csv)(table, path)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        source |= {"path": str(path.relative_to(self.paths.root)), "sha256": sha256, "format": file_format}

    def drop(self, *names: str) -> None:
        sources = self.section["collect"]["sources"]
        self.section["collect"]["sources"] = [s for s in sources if s["name"] not in names]

    def collect(self) -> Findings:
        with writing_folder(self.paths.collected) as folder:
            return collect.collect(self.params, self.paths, folder)

    def label(self) -> Findings:
        with writing_folder(self.paths.labelled) as folder:
            return label.label(self.params, self.paths, folder)

    def validate(self) -> list[Outcome]:
        tables = validate.tables(self.params, self.paths.collected, self.paths.labelled)
        return expectations.check("shop", tables, self.paths.reports / "docs")[0]

    def prepare(self) -> None:
        with writing_folder(self.paths.prepared) as folder:
            prepare.prepare(self.params.prepare, self.paths.collected, self.paths.labelled, folder)

    def table(self, stage: str, name: str) -> pa.Table:
        return pq.read_table(self.paths.data / stage / f"{name}.parquet")

    @property
    def audit(self) -> dict[str, Any]:
        found: dict[str, Any] = read_json(self.paths.labelled / "audit.json")
        return found

    def rule(self, name: str) -> dict[str, Any]:
        return next(rule for rule in self.audit["rules"] if rule["rule"] == name)


def make(root: Path, shop: Tables) -> ShopProject:
    retail = yaml.safe_load((ROOT / "params.yaml").read_text())["projects"]["retail"]
    synthetic_shop.write(root / "shop", shop)
    return ShopProject(Paths(root, "shop"), synthetic_shop.parameters(retail, root / "shop", root))
