"""params.yaml as typed, frozen parameters.

Every key is declared, none has a default: DVC can only see what stands in params.yaml.
An error names the place (`params.yaml: projects.digits.train.epochs`), the value and what is allowed.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.core import parameter_errors
from pipeline.core.errors import ParameterError

Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """Frozen; an unknown key, a wrong type or a value out of range is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)


Share = Field(ge=0, le=1)
Count = Field(ge=1)


class Resources(Strict):
    memory_gib_max: float = Field(gt=0)
    disk_gib_max: float = Field(gt=0)
    minutes_max: float = Field(gt=0)


class Expected(Strict):
    """What planning assumes before any data is seen; `review` compares it with what came.

    A task adds how much data it expects, and what its network costs (pipeline/tasks/TASK/plan.py).
    """

    machine_gflops: float = Field(gt=0)
    efficiency: float = Field(gt=0, le=1)
    precision: float = Field(gt=0, lt=1)
    copies_on_disk: float = Field(gt=0)
    copies_in_memory: float = Field(gt=0)
    fixed_disk_gib: float = Field(ge=0)
    fixed_memory_gib: float = Field(ge=0)
    fixed_minutes: float = Field(ge=0)


class Energy(Strict):
    """What the estimate of energy and carbon reckons with (reporting/carbon.py)."""

    cpu_watts_per_core: float = Field(ge=0)
    gpu_watts: float = Field(ge=0)
    memory_watts_per_gib: float = Field(ge=0)
    pue: float = Field(ge=1)
    carbon_g_per_kwh: float = Field(ge=0)


class Plan(Strict):
    """The charter: why the project exists and what it may cost. A task adds the least it needs."""

    purpose: str = Field(min_length=1)
    owner: str = Field(min_length=1)
    users: str = Field(min_length=1)
    decision: str = Field(min_length=1)
    out_of_scope: tuple[str, ...] = Field(min_length=1)
    risks: tuple[str, ...] = Field(min_length=1)
    allowed_licences: tuple[str, ...] = Field(min_length=1)
    resources: Resources
    energy: Energy
    expected: Expected


class Watch(Strict):
    """What raises an alarm while a network is trained (training/training_watch.py)."""

    every_steps: int = Count
    gradient_rise_max: float = Field(gt=1)
    gradient_share_min: float = Field(ge=0, lt=1)
    update_ratio_max: float = Field(gt=0)
    silent_share_max: float = Share
    generalisation_loss_max: float = Field(gt=0)


class Checks(Strict):
    """The short trainings before the long one (training/debugging_checks.py)."""

    steps: int = Field(ge=10)
    line_up_z_min: float = Field(ge=0)


class Hardware(Strict):
    """What Lightning trains on, and in how many processes: one for each device of each node."""

    accelerator: Literal["auto", "cpu", "gpu"]
    strategy: Literal["auto", "ddp"]
    devices: Literal["auto"] | Annotated[int, Field(ge=1)]
    num_nodes: int = Count


# What pilots, the label audit and comparisons train on, many small networks one after another.
ONE_DEVICE = Hardware(accelerator="auto", strategy="auto", devices=1, num_nodes=1)


class Start(Strict):
    """A trained model to begin with (training/starting.py). from: champion, of this project; NAME, the
    champion of another; NAME/3, that version."""

    from_: str = Field(alias="from", pattern=r"^[A-Za-z][\w-]*(/[1-9]\d*)?$")
    freeze: tuple[str, ...]
    learning_rate_factor: float = Field(gt=0, le=10)
    margin: float = Share
    draws: int = Field(ge=100)


class LongRun(Strict):
    """What `train` has beside a recipe: with what it begins, what it runs on, how it is interrupted, stopped
    and watched (training/long_run.py)."""

    start: Start | None
    hardware: Hardware
    checkpoint_seconds: float = Field(gt=0)
    early_stopping_patience: int | None = Field(ge=1)
    checks: Checks
    watch: Watch


class Register(Strict):
    """When a new version may replace the champion (champion/promotion.py); whether a person must agree."""

    approval: Literal["automatic", "required"]
    margin: float = Share
    slice_margin: float = Share
    slice_items_min: int = Field(ge=2)
    draws: int = Field(ge=100)
    seed: int


class Container(Strict):
    """What a cluster is asked for (service/kubernetes.py)."""

    registry: str | None = Field(pattern=r"^[a-z0-9][a-z0-9.:/_-]*[a-z0-9]$")
    replicas: int = Count
    database_secret: str | None = Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    log_gib: int = Count
    cpu_cores: float = Field(gt=0)
    cpu_cores_max: float = Field(gt=0)
    memory_mib: int = Field(ge=128)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.replicas > 1 and self.database_secret is None:
            raise ValueError(
                f"{self.replicas} replicas need a log that they share: name a database_secret, or ask for 1"
            )
        if self.cpu_cores > self.cpu_cores_max:
            raise ValueError(f"cpu_cores {self.cpu_cores} is over cpu_cores_max {self.cpu_cores_max}")
        return self


class Deploy(Strict):
    samples: int = Count
    tolerance: float = Field(gt=0)
    load_seconds: float = Field(gt=0)
    connections: int = Count
    ready_seconds_max: float = Field(gt=0)
    memory_mib_max: float = Field(gt=0)
    container: Container

    @model_validator(mode="after")
    def _room_for_what_is_allowed(self) -> Self:
        if self.container.memory_mib < self.memory_mib_max:
            raise ValueError(
                f"container.memory_mib {self.container.memory_mib} is under memory_mib_max "
                f"{self.memory_mib_max}: a service that passes would be killed in the cluster"
            )
        return self


class Monitor(Strict):
    window: int = Field(ge=30)
    windows: int = Count
    degraded_windows: int = Count
    alarm_p: float = Field(gt=0, lt=1)
    seed: int


class Review(Strict):
    minutes_slack: float = Field(gt=0)


class ProjectParameters(Strict):
    """What every project has; a task adds its own sections (pipeline/tasks/TASK/parameters.py)."""

    task: str
    plan: Plan
    review: Review

    def section(self, name: str) -> Any:
        """The value under the key `name`, as it is spelled in params.yaml."""
        field = next(f for f, info in type(self).model_fields.items() if (info.alias or f) == name)
        return getattr(self, field)


def read(path: Path) -> dict[str, Any]:
    """The mapping `projects` of params.yaml, unchecked but for its shape."""
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ParameterError(f"{path}: not found. Run from the repository's root.") from None
    except yaml.YAMLError as error:
        raise ParameterError(f"{path.name}: not valid YAML: {error}") from None
    projects = content.get("projects") if isinstance(content, dict) else None
    if not isinstance(projects, dict) or not projects:
        raise ParameterError(f"{path.name}: `projects:` must be a mapping of at least one project.")
    return projects


def read_one(path: Path, project: str) -> Any:
    """What params.yaml holds of one project, unchecked. ParameterError: it knows no such project."""
    projects = read(path)
    if project not in projects:
        raise ParameterError(
            f"{path.name}: no project {project!r}{parameter_errors.suggestion(project, projects)}. "
            f"There are: {', '.join(projects)}."
        )
    return projects[project]


def load(path: Path, project: str) -> ProjectParameters:
    """The checked parameters of one project, as its task declares them."""
    from pipeline import tasks

    section = read_one(path, project)
    where = f"{path.name}: projects.{project}"
    if not isinstance(section, dict) or section.get("task") not in tasks.names():
        given = section.get("task") if isinstance(section, dict) else section
        raise ParameterError(f"{where}.task: {given!r} is not a task. Allowed: {', '.join(tasks.names())}.")
    model: type[ProjectParameters] = tasks.module(section["task"], "parameters").Parameters
    return checked(model, section, where)


def checked(model: type[Model], values: dict[str, Any], where: str) -> Model:
    """The values as parameters. ParameterError: some are wrong; `where` says of what."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ParameterError(parameter_errors.explained(where, error, model)) from None
