"""What the section `serve` of params.yaml holds: how a project's service runs.

`deploy` writes it into the Bento as serve.json, so that what runs elsewhere is set as what was proven; a
service that is started from the source code reads params.yaml.
"""

import ipaddress
import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from pipeline.core import parameters
from pipeline.core.parameters import Strict

FILE = "serve.json"
PARAMS = "params.yaml"
# Environment variables of a service.
REGISTRY_VARIABLE = "FULLCYCLE_REGISTRY"  # registry to follow, as MLFLOW_TRACKING_URI has it; "": none
KEPT_VARIABLE = "FULLCYCLE_KEPT_MODELS"  # folder in place of follow.folder

Permission = Literal["predict", "feedback", "admin"]
# Environment variables of the tokens that may do it; several are separated by commas. A Bento is shipped
# to others, so no secret is a setting.
TOKEN_VARIABLES: dict[Permission, str] = {
    "predict": "FULLCYCLE_TOKEN_PREDICT",
    "feedback": "FULLCYCLE_TOKEN_FEEDBACK",
    "admin": "FULLCYCLE_TOKEN_ADMIN",
}
# "yes": listen on every interface although nobody is asked for a token.
OPEN_VARIABLE = "FULLCYCLE_WITHOUT_TOKENS"
# "yes": `serve.rate` does not count, because all requests are from one client that measures.
UNLIMITED_VARIABLE = "FULLCYCLE_WITHOUT_RATE_LIMIT"


class Pictures(Strict):
    """What the pictures of one request may be, before any of them is decoded; and what those of all requests
    may take that are decoded at the same time."""

    megapixels_max: float = Field(gt=0, le=1000)
    request_megapixels_max: float = Field(gt=0, le=10_000)
    decoding_mib_max: float = Field(gt=0)

    @property
    def pixels_max(self) -> int:
        """Of one picture."""
        return int(self.megapixels_max * 1_000_000)

    @property
    def request_pixels_max(self) -> int:
        """Of all pictures of one request."""
        return int(self.request_megapixels_max * 1_000_000)

    @property
    def decoding_max(self) -> int:
        """Bytes."""
        return int(self.decoding_mib_max * (1 << 20))


class Lists(Strict):
    """What the lists of a question to a recommender may hold."""

    answer_max: int = Field(ge=1)
    basket_max: int = Field(ge=1)


class Requests(Strict):
    """What requests may be. body_mib_max: of one; bodies_mib_max: of all that are not answered yet;
    batch_max: pictures or events of one; pictures, lists: None where a task has none."""

    body_mib_max: float = Field(gt=0, le=1024)
    bodies_mib_max: float = Field(gt=0)
    seconds_max: float = Field(gt=0, le=3600)
    batch_max: int = Field(ge=1)
    pictures: Pictures | None
    lists: Lists | None

    @property
    def body_max(self) -> int:
        """Bytes."""
        return int(self.body_mib_max * (1 << 20))

    @property
    def bodies_max(self) -> int:
        """Bytes."""
        return int(self.bodies_mib_max * (1 << 20))

    @model_validator(mode="after")
    def _one_has_room(self) -> Self:
        if self.bodies_mib_max < self.body_mib_max:
            raise ValueError(
                "bodies_mib_max must be at least body_mib_max, or nobody could send as much as that"
            )
        return self


class Rate(Strict):
    """How often one client may ask (serving/rate_limit.py)."""

    per_second: float = Field(gt=0)
    burst: int = Field(ge=1)
    clients_max: int = Field(ge=1)


class Admission(Strict):
    """How many may wait for an answer and for how long, predictions and feedback each; more is refused."""

    waiting_max: int = Field(ge=1)  # requests
    wait_ms_max: float = Field(gt=0)


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
    evidence takes (trial/trial_evidence.py)."""

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


class Follow(Strict):
    """How the running service follows the registry's aliases (serving/follower.py)."""

    enabled: bool
    seconds: float = Field(gt=0, le=60)
    timeout_seconds: float = Field(gt=0, le=60)
    folder: str = Field(min_length=1)
    keep: int = Field(ge=1)
    golden_set: Literal["required", "wanted"]
    golden_difference_max: float = Field(gt=0)


class Capture(Strict):
    """Which pictures the prediction log keeps until `fullcycle harvest` takes them (serving/image_log.py)."""

    share: float = Field(ge=0, le=1)
    confidence_below: float = Field(ge=0, le=1)


class Serve(Strict):
    requests: Requests
    admission: Admission
    follow: Follow
    trial: Trial
    rate: Rate | None
    proxies: tuple[str, ...]
    retention_days: int | None = Field(ge=1)
    capture: Capture | None

    @field_validator("proxies")
    @classmethod
    def _networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            ipaddress.ip_network(proxy)
        return proxies

    @model_validator(mode="after")
    def _captures_what_there_is(self) -> Self:
        if self.capture is not None and self.requests.pictures is None:
            raise ValueError(
                "capture keeps pictures, and requests.pictures is null: this service takes none. Set capture "
                "to null; the events of a shop are kept without it"
            )
        return self


def write(folder: Path, settings: Serve) -> None:
    """Into the folder that becomes a Bento."""
    (folder / FILE).write_text(settings.model_dump_json(indent=2, by_alias=True) + "\n")


def read(home: Path, project: str) -> Serve:
    """Of the service whose code lies in `home`: a Bento, or the repository. ParameterError: it is wrong."""
    if (home / FILE).is_file():
        return parameters.checked(Serve, json.loads((home / FILE).read_text()), FILE)
    section = parameters.read(home / PARAMS).get(project) or {}
    return parameters.checked(Serve, section.get("serve") or {}, f"{PARAMS}: projects.{project}.serve")
