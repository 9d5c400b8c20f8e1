"""DVC watches the inbox from the first run on, collects what has come, and removes none of it."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pipeline import repositories

INBOX = {"name": "inbox", "kind": "inbox", "licence": "own", "pixels_max": 10_000}


@pytest.mark.slow
def test_a_capture_is_collected_by_the_next_repro(
    tmp_path_factory: pytest.TempPathFactory, small_parameters: tuple[dict, Path]
) -> None:
    content, archive = small_parameters
    digits = content["projects"]["digits"]
    digits = digits | {"collect": digits["collect"] | {"sources": [*digits["collect"]["sources"], INBOX]}}
    folder, dvc = repositories.make(tmp_path_factory, {"projects": {"digits": digits}})
    shutil.copy(archive, folder / "digits.zip")

    def repro() -> list[str]:
        done = dvc("dvc", "repro", "collect@digits")
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return re.findall(r"Running stage '(\w+)@digits'", done.stdout)

    assert repro() == ["plan", "collect"]
    inbox = folder / "data/digits/inbox"
    assert [path.name for path in inbox.iterdir()] == ["README.md"]
    assert repro() == []
    Image.fromarray(np.full((28, 28), 200, np.uint8)).save(inbox / "a.png")
    (inbox / "labels.csv").write_text(
        "file,label,by,time,prediction_id\na.png,7,ann,2026-03-01T18:30:00Z,01\n"
    )
    assert repro() == ["plan", "collect"]
    told = json.loads((folder / "data/digits/collected/provenance.json").read_text())
    assert told["items"] == 901 and told["sources"][1]["parts"] == {"all": 1}
    assert repro() == [] and (inbox / "a.png").is_file()
