"""What the section `serve` of params.yaml holds: how a project's service runs.

`deploy` writes it into the Bento as serve.json, so that what runs elsewhere is set as what was proven; a
service that is started from the source code reads params.yaml.
"""

import json
from pathlib import Path

from pydantic import Field

from pipeline.core import parameters
from pipeline.core.parameters import Strict

FILE = "serve.json"
PARAMS = "params.yaml"


class Requests(Strict):
    """What one request may be."""

    body_mib_max: float = Field(gt=0, le=1024)

    @property
    def body_max(self) -> int:
        """Bytes."""
        return int(self.body_mib_max * (1 << 20))


class Admission(Strict):
    """How many may wait for an answer and for how long, predictions and feedback each; more is refused."""

    waiting_max: int = Field(ge=1)  # requests
    wait_ms_max: float = Field(gt=0)


class Serve(Strict):
    requests: Requests
    admission: Admission


def write(folder: Path, settings: Serve) -> None:
    """Into the folder that becomes a Bento."""
    (folder / FILE).write_text(settings.model_dump_json(indent=2, by_alias=True) + "\n")


def read(home: Path, project: str) -> Serve:
    """Of the service whose code lies in `home`: a Bento, or the repository. ParameterError: it is wrong."""
    if (home / FILE).is_file():
        return parameters.checked(Serve, json.loads((home / FILE).read_text()), FILE)
    section = parameters.read(home / PARAMS).get(project) or {}
    return parameters.checked(Serve, section.get("serve") or {}, f"{PARAMS}: projects.{project}.serve")
