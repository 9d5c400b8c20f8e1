"""What the section `serve` of params.yaml holds: how a project's service runs.

`deploy` writes it into the Bento as serve.json, so that what runs elsewhere is set as what was proven; a
service that is started from the source code reads params.yaml.
"""

import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

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


class Bounds(Strict):
    """What a challenger may not leave (serving/trial_judge.py)."""

    error_share_max: float = Field(gt=0, lt=1)
    latency_ratio_max: float = Field(ge=1)
    latency_ms_max: float = Field(gt=0)
    slow_share_max: float = Field(gt=0, lt=1)


# YAML 1.1 reads a bare `off` as false.
Mode = Annotated[
    Literal["off", "shadow", "canary"], BeforeValidator(lambda given: "off" if given is False else given)
]


class Trial(Strict):
    """How the challenger is tried on real requests (serving/trial.py), and what promoting it on their
    evidence takes (core/trial_evidence.py)."""

    mode: Mode
    share: float = Field(gt=0, le=1)
    salt: str = Field(min_length=1)
    timeout_ms: float = Field(gt=0)
    waiting_max: int = Field(ge=1)
    warmup_answers: int = Field(ge=0)
    window: int = Field(ge=10)
    confidence: float = Field(ge=0.5, lt=1)
    bounds: Bounds
    answers_min: int = Field(ge=1)
    feedback_min: int = Field(ge=2)
    feedback_hours: float = Field(gt=0)

    @model_validator(mode="after")
    def _leaves_room_for_a_control(self) -> Self:
        if self.mode == "canary" and self.share > 0.5:
            raise ValueError(
                f"share is {self.share:g}, and a canary takes 0.5 at most: as many clients of the champion "
                "are what it is held against"
            )
        return self


class Serve(Strict):
    requests: Requests
    trial: Trial


def write(folder: Path, settings: Serve) -> None:
    """Into the folder that becomes a Bento."""
    (folder / FILE).write_text(settings.model_dump_json(indent=2, by_alias=True) + "\n")


def read(home: Path, project: str) -> Serve:
    """Of the service whose code lies in `home`: a Bento, or the repository. ParameterError: it is wrong."""
    if (home / FILE).is_file():
        return parameters.checked(Serve, json.loads((home / FILE).read_text()), FILE)
    section = parameters.read(home / PARAMS).get(project) or {}
    return parameters.checked(Serve, section.get("serve") or {}, f"{PARAMS}: projects.{project}.serve")
