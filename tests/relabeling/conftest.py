"""A project whose stage `label` has left a queue: twelve digits, of which three are doubtful."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from pipeline.core.paths import Paths
from tests import collected_images
from tests.command_line import exit_code
from tests.imports import ROOT

CLASSES = tuple("0123456789")
GIVEN = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 4, 7])
# item -> suggested label and probability of the given one; worst first, as in queue.csv
DOUBTS = {10: (9, 0.001), 11: (1, 0.02), 3: (5, 0.2)}


def name(item: int) -> str:
    return f"drawn:train:{item}"


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    paths = Paths(root=tmp_path, project="digits")
    pixels = np.zeros((len(GIVEN), 1, 28, 28), dtype=np.uint8)
    pixels[:, 0, 0, 0] = np.arange(len(GIVEN))  # each picture says which item it is
    for folder in (paths.collected, paths.labelled):
        folder.mkdir(parents=True)
    collected_images.write(paths.collected, {"train": (pixels, GIVEN)})
    pq.write_table(
        pa.table({"item_id": [name(i) for i in range(len(GIVEN))], "given": GIVEN}),
        paths.labelled / "labels.parquet",
    )
    queue = {
        "item_id": [name(item) for item in DOUBTS],
        "source": ["drawn"] * len(DOUBTS),
        "source_index": list(DOUBTS),
        "split": ["train"] * len(DOUBTS),
        "given": [CLASSES[GIVEN[item]] for item in DOUBTS],
        "suggested": [CLASSES[label] for label, _ in DOUBTS.values()],
        "score": np.array([score for _, score in DOUBTS.values()], dtype=np.float32),
        "rank": range(1, len(DOUBTS) + 1),
    }
    pyarrow.csv.write_csv(pa.table(queue), paths.labelled / "queue.csv")
    return paths


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Labels = Callable[..., Done]


@pytest.fixture
def labels(paths: Paths, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Labels:
    """`fullcycle labels WORDS` in the project's folder, in this process."""
    monkeypatch.setattr("pipeline.relabeling.command._git_user", lambda: "Ada")

    def run(*words: str | Path) -> Done:
        code = exit_code(monkeypatch, "labels", *map(str, words))
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return run
