"""The sections of an image project in params.yaml."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from pipeline.core.parameters import (
    Count,
    Deploy,
    Expected,
    LongRun,
    Monitor,
    Plan,
    ProjectParameters,
    Register,
    Share,
    Strict,
)
from pipeline.core.serve_parameters import Serve
from pipeline.tasks.image_classification.recipe_parameters import Recipe
from pipeline.tasks.image_classification.source_parameters import Source

BASE = "base"  # the row of an ablation in which nothing is changed
Intruder = Literal["blank", "inverted", "noise", "texture", "scrambled"]  # data/intruders.py


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
        if sum(source.kind == "inbox" for source in self.sources) > 1:
            raise ValueError("a project has one inbox: one source may be of `kind: inbox`")
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
    outlier_kinds: tuple[Intruder, ...] = Field(min_length=1)
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


class Ablate(Strict):
    """What `fullcycle ablate` trains. changes: what differs from `recipe` in each row of the table; a mapping
    with a `name` takes the place of the recipe's, any other is merged into it. drawn: rows whose gradients
    are drawn."""

    images: int = Field(ge=2)
    seeds: tuple[int, ...] = Field(min_length=2)
    recipe: Recipe
    changes: dict[str, dict[str, Any]] = Field(min_length=1)
    drawn: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _rows_exist_and_are_recipes(self) -> "Ablate":
        rows = self.rows()
        if BASE in self.changes:
            raise ValueError(f"no change may be called {BASE!r}, as the unchanged recipe is")
        if not set(self.drawn) <= set(rows):
            raise ValueError(f"drawn must name rows ({', '.join(rows)}), given {list(self.drawn)}")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds must differ from each other, given {list(self.seeds)}")
        return self

    def rows(self) -> dict[str, Recipe]:
        """The recipe of each row, the unchanged one first."""
        rows, base = {BASE: self.recipe}, self.recipe.model_dump(mode="json")
        for name, change in self.changes.items():
            try:
                rows[name] = Recipe.model_validate(_merged(base, change))
            except ValidationError as error:
                first = error.errors()[0]
                place = ".".join(map(str, [name, *first["loc"]]))
                wrong = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
                raise ValueError(f"changes.{place}: {wrong}") from None
        return rows


def _merged(base: Any, change: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(change, dict) or "name" in change:
        return change
    return base | {key: _merged(base.get(key), value) for key, value in change.items()}


class Train(Recipe, LongRun):
    seed: int


class Comparator(Strict):
    """images: training images that a shallow comparator is fitted on, drawn once; null: all"""

    images: int | None = Field(ge=2)


class NearestNeighbours(Comparator):
    """learning/shallow/nearest_neighbours.py"""

    name: Literal["nearest_neighbours"]
    components: int = Count
    neighbours: int = Count


class LogisticRegression(Comparator):
    """learning/shallow/logistic_regression.py. c: one over the strength of the penalty on large weights"""

    name: Literal["logistic_regression"]
    c: float = Field(gt=0)
    iterations: int = Count


class Svm(Comparator):
    """learning/shallow/svm.py. c: one over the strength of the penalty on large weights"""

    name: Literal["svm"]
    components: int = Count
    c: float = Field(gt=0)


class RandomForest(Comparator):
    """learning/shallow/random_forest.py"""

    name: Literal["random_forest"]
    trees: int = Count


Shallow = Annotated[NearestNeighbours | LogisticRegression | Svm | RandomForest, Field(discriminator="name")]


class Slices(Strict):
    """testing/slices.py. false_alarm: chance that any slice at or above the floor fails"""

    floor: float = Field(gt=0, lt=1)
    smallest: int = Count
    found: int = Field(ge=0)
    false_alarm: float = Field(gt=0, lt=1)


Floor = Annotated[float, Share] | None  # a share that must be reached; null: it is only reported
Corruption = Literal[  # data/corruptions.py
    "noise", "blur", "shift", "rotation", "scale", "contrast", "occlusion", "inversion", "jpeg"
]
Edit = Literal["brightness", "noise", "shift", "rotation", "jpeg", "crop"]  # data/edits.py


class Robustness(Strict):
    """How unseen images are spoilt (testing/robustness.py). floors: of each corruption that is tried, the
    share right at the first of the severities at least."""

    images: int = Count
    severities: tuple[Literal[1, 2, 3], ...] = Field(min_length=1)
    floors: dict[Corruption, Floor] = Field(min_length=1)

    @model_validator(mode="after")
    def _ascending(self) -> "Robustness":
        if list(self.severities) != sorted(set(self.severities)):
            raise ValueError(f"severities must ascend, each once, given {list(self.severities)}")
        return self


class Behaviour(Strict):
    """What the network is expected to do (testing/behaviour.py). invariance, less_sure, unsure, typical: the
    share of images that must pass each test."""

    images: int = Count
    typical_images: int = Count
    confidence_rise_max: float = Share
    sure: float = Share
    invariance: dict[Edit, Floor] = Field(min_length=1)
    less_sure: dict[Corruption, Floor] = Field(min_length=1)
    unsure: dict[Intruder, Floor] = Field(min_length=1)
    typical: Floor


class Attributions(Strict):
    """Which pixels an answer rests on (testing/attributions.py)."""

    images: int = Count
    steps: int = Field(ge=2)
    of_each_class: int = Count
    columns: int = Count
    unexplained_max: Floor
    deletion_gain_min: Floor


class Representations(Strict):
    """What the layers make of images (testing/representations.py)."""

    images: int = Field(ge=2)
    layers: int = Field(ge=2)


class Evaluate(Strict):
    """automatic_accuracies: wanted of what is answered without a person; metrics.json holds the first"""

    shallow: tuple[Shallow, ...] = Field(min_length=1)
    automatic_accuracies: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(min_length=1)
    slices: Slices
    robustness: Robustness
    behaviour: Behaviour
    attributions: Attributions
    representations: Representations
    draws: int = Field(ge=100)
    worst: int = Count
    seed: int

    @model_validator(mode="after")
    def _distinct(self) -> "Evaluate":
        names = [comparator.name for comparator in self.shallow]
        if len(set(names)) != len(names):
            raise ValueError(f"shallow must name each comparator once, given {names}")
        return self


class Parameters(ProjectParameters):
    plan: Charter
    goals: Goals
    collect: Collect
    label: Label
    validate_: Validate = Field(alias="validate")
    prepare: Prepare
    forecast: Forecast
    ablate: Ablate
    train: Train
    evaluate: Evaluate
    register_: Register = Field(alias="register")
    serve: Serve
    deploy: Deploy
    monitor: Monitor
