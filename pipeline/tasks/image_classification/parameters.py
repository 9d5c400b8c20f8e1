"""The sections of an image project in params.yaml."""

from typing import Literal

from pydantic import Field, model_validator

from pipeline.core.parameters import (
    Count,
    Deploy,
    Expected,
    Hardware,
    Monitor,
    Plan,
    ProjectParameters,
    Register,
    Share,
    Start,
    Strict,
)
from pipeline.tasks.image_classification.recipe_parameters import Recipe
from pipeline.tasks.image_classification.source_parameters import Source


class ExpectedImages(Expected):
    items: int = Count
    test_items: int = Count
    bytes_per_item: int = Count
    network_mflop: float = Field(gt=0)
    passes: float = Field(gt=0)


class Charter(Plan):
    min_items: int = Count
    min_items_per_class: int = Count
    faulty_files_share_max: float = Share
    expected: ExpectedImages


class Goals(Strict):
    accuracy_min: float = Share
    class_recall_min: float = Share
    calibration_error_max: float = Share
    latency_p99_ms_max: float = Field(gt=0)
    drift_detection_min: float = Share
    false_alarms_max: float = Share


class Image(Strict):
    height: int = Field(ge=8, le=1024)
    width: int = Field(ge=8, le=1024)
    channels: Literal[1, 3]


class Collect(Strict):
    classes: tuple[str, ...] = Field(min_length=2)
    image: Image
    sources: tuple[Source, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> "Collect":
        for what, values in (("classes", self.classes), ("sources", [s.name for s in self.sources])):
            if len(set(values)) != len(values):
                raise ValueError(f"{what} must differ from each other, given {list(values)}")
        return self


class Policy(Strict):
    """How labels come about. min_agreement: Krippendorff's alpha, where items have several annotators."""

    guidelines: str = Field(min_length=1)
    labelled_by: str = Field(min_length=1)
    annotators_per_item: int = Count
    min_agreement: float = Share


class Label(Strict):
    """annotations: a file below labels/, the folder that DVC watches for this stage; null: none"""

    policy: Policy
    annotations: str | None = Field(pattern=r"^labels/[\w.-]+\.(csv|parquet)$")
    folds: int = Field(ge=2)
    recipe: Recipe
    queue_min: int = Field(ge=0)
    queue_max: int = Count
    draws: int = Field(ge=100)
    seed: int


class Validate(Strict):
    label_share_min: float = Share
    ink_mean_min: float = Share
    ink_mean_max: float = Share
    duplicate_share_max: float = Share
    test_overlap_max: int = Field(ge=0)
    doubtful_share_max: float = Share
    near_duplicate_false_alarms: float = Field(gt=0, lt=1)
    near_duplicate_recall_min: float = Share
    near_duplicate_share_max: float = Share
    outlier_kinds: tuple[Literal["blank", "inverted", "noise", "texture", "scrambled"], ...] = Field(
        min_length=1
    )
    outlier_auroc_min: float = Share
    outlier_share_max: float = Share
    planted: int = Count
    seed: int


class Prepare(Strict):
    test_share: float = Field(ge=0, lt=1)
    val_share: float = Field(gt=0, lt=1)
    salt: str


class Forecast(Strict):
    train_sizes: tuple[int, ...] = Field(min_length=3)
    repeats: int = Count
    recipe: Recipe
    draws: int = Field(ge=50)
    seed: int


class Train(Recipe):
    start: Start | None
    hardware: Hardware
    seed: int


class Evaluate(Strict):
    draws: int = Field(ge=100)
    worst: int = Count
    seed: int


class Parameters(ProjectParameters):
    plan: Charter
    goals: Goals
    collect: Collect
    label: Label
    validate_: Validate = Field(alias="validate")
    prepare: Prepare
    forecast: Forecast
    train: Train
    evaluate: Evaluate
    register_: Register = Field(alias="register")
    deploy: Deploy
    monitor: Monitor
