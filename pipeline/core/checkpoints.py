"""Where an interrupted training goes on.

The folder lies outside the stage's outputs, because DVC deletes those before a stage runs. It is
used only by a run with the same parameters on the same data, begun with the same trained model if with
one, in the same MLflow run, and removed when the training has ended well.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.core.artifacts import read_json, sha256_of_folder, write_json
from pipeline.core.registry import Version
from pipeline.core.stage import Context, plain

STATE = "state.json"


@contextmanager
def resumable(context: Context, begun_with: Version | None) -> Iterator[Path]:
    """Yields the folder for checkpoints; empty unless an interrupted run of the same kind left some."""
    folder, key, state = _left(context, begun_with)
    if state.get("key") == key:
        context.run.resume(state["run_id"])
    else:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    write_json(folder / STATE, {"key": key, "run_id": context.run.id})
    yield folder
    shutil.rmtree(folder)


def taken_part_in(context: Context, begun_with: Version | None) -> Path:
    """The same folder for the other processes, who write nothing; one that is not there when the first
    process begins anew. Checkpoints appear only after all have met, so all decide alike."""
    folder, key, state = _left(context, begun_with)
    return folder if state.get("key") == key else folder.with_suffix(".none")


def _left(context: Context, begun_with: Version | None) -> tuple[Path, str, dict[str, str]]:
    """The folder, the key of this training, and what an interrupted one left there."""
    folder = context.paths.model.with_name(f".{context.project}.interrupted")
    params = {name: plain(value) for name, value in vars(context.params).items()}
    model = begun_with.sha256 if begun_with else ""
    key = hashlib.sha256(
        (
            json.dumps(params, sort_keys=True) + sha256_of_folder(context.paths.prepared / "train") + model
        ).encode()
    ).hexdigest()
    return folder, key, read_json(folder / STATE) if (folder / STATE).is_file() else {}
