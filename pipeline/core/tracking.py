"""MLflow: one experiment a project, one parent run a pass, one child run a stage.

MLflow is imported when a run is opened or closed, not before: it costs about a second.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.core import moved_store, processes
from pipeline.core.artifacts import sha256_of_folder
from pipeline.core.errors import DiskFull, TrackingError, is_disk_full
from pipeline.core.paths import Paths
from pipeline.core.source_state import source_state

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger
    from mlflow import MlflowClient
    from mlflow.entities import Run

PASS_TAG = "fullcycle.pass"
# MLflow's pages then open with runs and metrics, not with those for language models.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
STAGE_TAG = "fullcycle.stage"
PARENT_TAG = "mlflow.parentRunId"
SAMPLING_SECONDS = 5  # between two samples of the system's metrics
DIGEST_LENGTH_MAX = 36  # MLflow refuses longer digests of a dataset
PARAM_LENGTH_MAX = 6000  # MLflow refuses longer parameter values
MEASUREMENTS_MAX = 1000  # MLflow refuses more at a time


class Measurement(NamedTuple):
    """One value of a metric; milliseconds: Unix time"""

    name: str
    value: float
    step: int
    milliseconds: int


def tracking_uri(paths: Paths) -> str:
    """`MLFLOW_TRACKING_URI`, else a SQLite file at the root, which a bare `mlflow ui` opens."""
    return os.environ.get("MLFLOW_TRACKING_URI") or local_uri(paths)


def local_uri(paths: Paths) -> str:
    return f"sqlite:///{paths.home / 'mlflow.db'}"


def client(paths: Paths) -> "MlflowClient":
    import mlflow

    uri = tracking_uri(paths)
    if uri == local_uri(paths):
        moved_store.follow(paths)
    mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient(uri, uri)


def experiment_id(paths: Paths, mlflow_client: "MlflowClient") -> str:
    found = mlflow_client.get_experiment_by_name(paths.project)
    if found is None:
        local = tracking_uri(paths).startswith("sqlite:")
        location = (paths.home / "mlruns" / paths.project).as_uri() if local else None
        return mlflow_client.create_experiment(paths.project, location, EXPERIMENT_TAGS)
    if found.lifecycle_stage == "deleted":
        mlflow_client.restore_experiment(found.experiment_id)
    return found.experiment_id


class StageRun:
    """The MLflow run of one stage; opened at first use."""

    def __init__(self, paths: Paths, stage: str, started: float) -> None:
        """started: Unix time in seconds at which the stage began."""
        self.paths, self.stage, self.started = paths, stage, started
        self._client: MlflowClient | None = None
        self._id: str | None = None

    @property
    def client(self) -> "MlflowClient":
        if self._client is None:
            self._open()
        assert self._client is not None
        return self._client

    @property
    def id(self) -> str:
        if self._id is None:
            self._open()
        assert self._id is not None
        return self._id

    def resume(self, run_id: str) -> None:
        """Goes on in the run of an interrupted stage, if the store still knows it."""
        from mlflow.exceptions import MlflowException

        try:
            self._client = client(self.paths)
            self._client.update_run(run_id, status="RUNNING")
            self._client.update_run(self._client.get_run(run_id).data.tags[PARENT_TAG], status="RUNNING")
        except MlflowException:
            self._client = None
            return
        self._id = run_id

    def _open(self) -> None:
        try:
            self._client = client(self.paths)
            experiment = experiment_id(self.paths, self._client)
            run = self._client.create_run(
                experiment,
                start_time=round(self.started * 1000),
                run_name=self.stage,
                tags={STAGE_TAG: self.stage, PARENT_TAG: self._parent(experiment).info.run_id},
            )
        except Exception as error:
            raise self._unreachable(error) from error
        self._id = run.info.run_id

    def _parent(self, experiment: str) -> "Run":
        """The run of this pass: the same commit, uncommitted changes and parameters."""
        state = source_state(self.paths.root)
        found = self.client.search_runs(
            [experiment], filter_string=f"tags.`{PASS_TAG}` = '{state.key}'", max_results=1
        )
        if found:
            self.client.update_run(found[0].info.run_id, status="RUNNING")
            return found[0]
        tags = {
            PASS_TAG: state.key,
            "mlflow.source.git.commit": state.commit,
            "git.clean": str(state.clean).lower(),
            "params.sha256": state.params,
        }
        return self.client.create_run(experiment, run_name=f"pass {state.key}", tags=tags)

    @property
    def parent_id(self) -> str:
        return str(self.client.get_run(self.id).data.tags[PARENT_TAG])

    def log_params(self, params: Mapping[str, Any], *, parent: bool = False) -> None:
        """Nested mappings become dotted names; values are cut at MLflow's length."""
        from mlflow.entities import Param

        entries = [Param(k, str(v)[:PARAM_LENGTH_MAX]) for k, v in _flatten(params)]
        self.client.log_batch(self.parent_id if parent else self.id, params=entries)

    def log_metrics(self, metrics: Mapping[str, float], *, step: int = 0, parent: bool = False) -> None:
        from mlflow.entities import Metric

        now = round(time.time() * 1000)
        entries = [Metric(k, float(v), now, step) for k, v in metrics.items()]
        self.client.log_batch(self.parent_id if parent else self.id, metrics=entries)

    def log_measurements(self, found: Sequence[Measurement]) -> None:
        """Many values at once, of many steps: a write for each would cost more than the step. In a process
        that takes part in the run, nothing is written."""
        if not processes.is_first():
            return
        from mlflow.entities import Metric

        entries = [Metric(m.name, m.value, m.milliseconds, m.step) for m in found]
        for start in range(0, len(entries), MEASUREMENTS_MAX):
            self.client.log_batch(self.id, metrics=entries[start : start + MEASUREMENTS_MAX])

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        self.client.log_artifact(self.id, str(path), folder)

    def log_dataset(self, folder: Path, items: int) -> None:
        """The training data as an MLflow dataset: where it lies, its digest and its size."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        digest = sha256_of_folder(folder)
        dataset = Dataset(
            name=f"{self.paths.project} {folder.name}",
            digest=digest[:DIGEST_LENGTH_MAX],
            source_type="local",
            source=str(folder.relative_to(self.paths.root)),
            profile=f'{{"items": {items}}}',
        )
        inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])]
        self.client.log_inputs(self.id, inputs)
        self.set_tags({"data.sha256": digest}, parent=True)

    def lightning_logger(self) -> "Logger":
        """What Lightning logs goes into this run; in a process that takes part in it, nowhere."""
        from lightning.pytorch.loggers import MLFlowLogger
        from lightning.pytorch.loggers.logger import DummyLogger

        if not processes.is_first():
            return DummyLogger()

        return MLFlowLogger(
            experiment_name=self.paths.project, tracking_uri=tracking_uri(self.paths), run_id=self.id
        )

    def set_tags(self, tags: Mapping[str, str], *, parent: bool = False) -> None:
        from mlflow.entities import RunTag

        entries = [RunTag(k, v) for k, v in tags.items()]
        self.client.log_batch(self.parent_id if parent else self.id, tags=entries)

    @contextmanager
    def system_metrics(self) -> Iterator[None]:
        """Samples processor, memory, disk, network and GPU into the run while the block works."""
        from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

        monitor = SystemMetricsMonitor(self.id, sampling_interval=SAMPLING_SECONDS)
        monitor.start()
        try:
            yield
        finally:
            monitor.finish()

    def close(self, status: str, *, close_parent: bool) -> None:
        """status: FINISHED, FAILED or KILLED."""
        self.client.set_terminated(self.id, status)
        if close_parent:
            self.client.set_terminated(self.parent_id, status)

    def _unreachable(self, error: Exception) -> Exception:
        uri = tracking_uri(self.paths)
        if is_disk_full(error):
            return DiskFull(f"No space left on the disk for the MLflow store {uri}. Free some, run again.")
        return TrackingError(
            f"The MLflow store {uri} cannot be used: {error}. "
            "Set MLFLOW_TRACKING_URI to a store that answers, or unset it to use mlflow.db here."
        )


def _flatten(params: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in params.items():
        name = f"{prefix}{key}"
        pairs += _flatten(value, f"{name}.") if isinstance(value, Mapping) else [(name, value)]
    return pairs
