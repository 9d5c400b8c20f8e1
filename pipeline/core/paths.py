"""Where everything lies, relative to the repository's root."""

from dataclasses import dataclass
from pathlib import Path

SQLITE = "sqlite:///"
EXPERIMENT_COPIES = (".dvc", "tmp", "exps")


@dataclass(frozen=True)
class Paths:
    """The places of one project. `root` is the folder that holds dvc.yaml."""

    root: Path
    project: str

    @property
    def data(self) -> Path:
        return self.root / "data" / self.project

    @property
    def collected(self) -> Path:
        return self.data / "collected"

    @property
    def inbox(self) -> Path:
        """What production captured (pipeline/core/inbox.py)."""
        return self.data / "inbox"

    @property
    def labelled(self) -> Path:
        return self.data / "labelled"

    @property
    def corrections(self) -> Path:
        """Labels that people corrected (pipeline/labels/corrections.py); in git."""
        return self.root / "labels" / f"{self.project}.csv"

    @property
    def prepared(self) -> Path:
        return self.data / "prepared"

    @property
    def model(self) -> Path:
        return self.root / "models" / self.project

    @property
    def reports(self) -> Path:
        return self.root / "reports" / self.project

    @property
    def model_card(self) -> Path:
        """What a person must know of the registered model (pipeline/reporting/model_card.py); in git."""
        return self.reports / "model_card.md"

    @property
    def kubernetes(self) -> Path:
        """What runs the deployed Bento in a cluster (pipeline/service/kubernetes.py); in git."""
        return self.reports / "kubernetes.yaml"

    def located(self, url: str) -> str:
        """A database's URL; of an SQLite file with its whole path, since whoever opens it may work elsewhere:
        a worker of a Bento does so in the Bento's own folder."""
        file = url.removeprefix(SQLITE)
        is_relative = file != url and file and not file.startswith(("/", ":memory:"))
        return f"{SQLITE}{self.home / file}" if is_relative else url

    def evidence(self, stage: str) -> Path:
        """What a stage found: metrics, gates, time, memory. Written by pipeline.core.stage."""
        return self.reports / "evidence" / f"{stage}.json"

    @property
    def home(self) -> Path:
        """The repository that a person works in.

        `dvc exp run --temp` and `--queue` work in a copy below `.dvc/tmp/exps`; MLflow's store,
        downloads and the prediction log belong to the repository, not to the copy.
        """
        parts = self.root.parts
        for i in range(len(parts) - len(EXPERIMENT_COPIES)):
            if parts[i : i + len(EXPERIMENT_COPIES)] == EXPERIMENT_COPIES:
                return Path(*parts[:i])
        return self.root

    @property
    def downloads(self) -> Path:
        """Raw files as they came, named by checksum; kept so that nothing is fetched twice."""
        return self.home / "data" / "downloads"

    @property
    def registry_looked_at(self) -> Path:
        """What stood in the registry when it was last looked at (champion/registry_state.py); DVC sees by
        it that the registry was changed or wiped."""
        return self.root / "registry" / self.project / "aliases.json"

    @property
    def registry_copy(self) -> Path:
        """This repository's copy of the registry's history (champion/alias_history.py), and its lock."""
        return self.home / "registry" / self.project

    @property
    def prediction_log(self) -> Path:
        return self.home / "predictions" / f"{self.project}.db"
