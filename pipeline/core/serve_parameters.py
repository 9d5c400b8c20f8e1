"""What the section `serve` of params.yaml holds: how a project's service runs.

`deploy` writes it into the Bento as serve.json, so that what runs elsewhere is set as what was proven; a
service that is started from the source code reads params.yaml.
"""

import json
from pathlib import Path
from typing import Literal

from pydantic import Field

from pipeline.core import parameters
from pipeline.core.parameters import Strict

FILE = "serve.json"
PARAMS = "params.yaml"
# Environment variables of a service.
REGISTRY_VARIABLE = "FULLCYCLE_REGISTRY"  # registry to follow, as MLFLOW_TRACKING_URI has it; "": none
KEPT_VARIABLE = "FULLCYCLE_KEPT_MODELS"  # folder in place of follow.folder


class Requests(Strict):
    """What one request may be."""

    body_mib_max: float = Field(gt=0, le=1024)

    @property
    def body_max(self) -> int:
        """Bytes."""
        return int(self.body_mib_max * (1 << 20))


class Follow(Strict):
    """How the running service follows the registry's aliases (serving/follower.py)."""

    enabled: bool
    seconds: float = Field(gt=0, le=60)
    timeout_seconds: float = Field(gt=0, le=60)
    folder: str = Field(min_length=1)
    keep: int = Field(ge=1)
    challenger: bool
    golden_set: Literal["required", "wanted"]
    golden_difference_max: float = Field(gt=0)


class Serve(Strict):
    requests: Requests
    follow: Follow


def write(folder: Path, settings: Serve) -> None:
    """Into the folder that becomes a Bento."""
    (folder / FILE).write_text(settings.model_dump_json(indent=2, by_alias=True) + "\n")


def read(home: Path, project: str) -> Serve:
    """Of the service whose code lies in `home`: a Bento, or the repository. ParameterError: it is wrong."""
    if (home / FILE).is_file():
        return parameters.checked(Serve, json.loads((home / FILE).read_text()), FILE)
    section = parameters.read(home / PARAMS).get(project) or {}
    return parameters.checked(Serve, section.get("serve") or {}, f"{PARAMS}: projects.{project}.serve")
