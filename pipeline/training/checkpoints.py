"""Where an interrupted training goes on.

The folder lies outside the stage's outputs, because DVC deletes those before a stage runs. It is used only
by a run of the same code with the same parameters on the same data, begun with the same trained model if with
one, in the same MLflow run, and removed when the stage has ended well.
"""

import hashlib
import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pipeline
from pipeline.core.artifacts import read_json, sha256, sha256_of_folder, write_json
from pipeline.core.registry import Version
from pipeline.core.stage import Context, plain

ROOT = Path(pipeline.__file__).parent
STATE = "state.json"
LIBRARIES = ("torch", "lightning", "numpy")  # whose versions may change the weights


def resumable(context: Context, begun_with: Version | None) -> Path:
    """The folder for checkpoints; empty unless an interrupted run of the same kind left some."""
    folder, made_of, state = _left(context, begun_with)
    changed = _changed(made_of, state)
    if not changed:
        print(f"An interrupted training is gone on with: {folder}")
        context.run.resume(state["run_id"])
    else:
        if state:
            print(f"The {', '.join(changed)} changed since a training was interrupted: it begins anew.")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    write_json(folder / STATE, {"made_of": made_of, "run_id": context.run.id})
    return folder


def taken_part_in(context: Context, begun_with: Version | None) -> Path:
    """The same folder for the other processes, who write nothing; one that is not there when the first
    process begins anew. Checkpoints appear only after all have met, so all decide alike."""
    folder, made_of, state = _left(context, begun_with)
    return folder.with_suffix(".none") if _changed(made_of, state) else folder


def _left(context: Context, begun_with: Version | None) -> tuple[Path, dict[str, str], dict[str, Any]]:
    """The folder, what this training's weights are made of, and what an interrupted one left there."""
    folder = context.paths.model.with_name(f".{context.project}.interrupted")
    state = read_json(folder / STATE) if (folder / STATE).is_file() else {}
    return folder, _made_of(context, begun_with), state


def _changed(made_of: dict[str, str], state: dict[str, Any]) -> list[str]:
    return [name for name, value in made_of.items() if state.get("made_of", {}).get(name) != value]


def _made_of(context: Context, begun_with: Version | None) -> dict[str, str]:
    """What the weights are made of, each as a SHA-256."""
    params = {name: plain(value) for name, value in vars(context.params).items()}
    return {
        "parameters": _digest(params),
        "data": _digest([sha256_of_folder(context.paths.prepared / part) for part in ("train", "val")]),
        "code": _digest({path.relative_to(ROOT).as_posix(): sha256(path) for path in code(context.task)}),
        "libraries": _digest({name: version(name) for name in LIBRARIES}),
        "model to begin with": begun_with.sha256 if begun_with else "",
    }


def code(task: str) -> list[Path]:
    """Every file of the repository that the training of a task runs."""
    folders = (ROOT / "core", ROOT / "training", ROOT / "tasks" / task)
    return [ROOT / "train.py", *(path for folder in folders for path in sorted(folder.rglob("*.py")))]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
