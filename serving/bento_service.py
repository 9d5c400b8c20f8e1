"""What the BentoML service of every task shares: its arguments, its model, its start and stop.

    bentoml serve serving.image_classification:ImageClassification --arg project=digits

serves the model that the last `deploy` put into the Bento store; `bentoml serve digits:TAG` serves
a Bento, which holds its own. Arguments: project, and model, a tag of the Bento store.
"""

import gc
import json
import logging
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core import quiet

quiet.silence()  # before BentoML reads its switches

import bentoml  # noqa: E402
import click  # noqa: E402
from bentoml._internal.configuration.containers import BentoMLContainer  # noqa: E402
from bentoml._internal.utils.analytics import usage_stats  # noqa: E402
from pydantic import BaseModel, ConfigDict  # noqa: E402

from pipeline.core import serve_parameters  # noqa: E402
from pipeline.core.errors import FullcycleError, ModelError, ParameterError  # noqa: E402
from pipeline.core.paths import Paths  # noqa: E402
from pipeline.core.serve_parameters import KEPT_VARIABLE, REGISTRY_VARIABLE  # noqa: E402
from pipeline.log import prediction_log_url  # noqa: E402
from serving import registry_reader, supervision  # noqa: E402
from serving.direct_service import DirectService  # noqa: E402
from serving.log_lines import LogLines  # noqa: E402

if TYPE_CHECKING:
    from serving.application import Application
    from serving.follower import Follower
    from serving.prediction_log import PredictionLog
    from serving.retention import Retention
    from serving.trial import Trial

usage_stats.do_not_track.cache_clear()  # the `bentoml` command has asked before this module is there

logger = logging.getLogger(__name__)


class Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")

    project: str
    model: str | None = None


arguments = bentoml.use_arguments(Arguments)
project = arguments.project
paths = Paths(root=Path.cwd(), project=project)
settings = serve_parameters.read(Path(__file__).parents[1], project)

PROXIES_VARIABLE = "FORWARDED_ALLOW_IPS"  # uvicorn's: proxies whose X-Forwarded-For says who asks

# A partial, not a function: BentoML finds the service again in the module that calls `bentoml.service`.
service = partial(
    bentoml.service,
    name=project,
    service_class=DirectService,
    workers=1,
    http={"host": "127.0.0.1"},  # BentoML's own default is every interface; --host opens it
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
)


def model_tag() -> str:
    """The model asked for, else the one that this working tree deployed, else the newest stored."""
    deployment = paths.reports / "deployment.json"
    tag = arguments.model or f"{project}:latest"
    if not arguments.model and deployment.is_file():
        tag = json.loads(deployment.read_text())["model_tag"] or tag
    try:
        bentoml.models.get(tag)
    except bentoml.exceptions.NotFound:
        raise bentoml.exceptions.NotFound(
            f"The Bento store holds no model {tag}. `dvc repro --force deploy@{project}` puts the "
            "registered one there; `bentoml models list` shows what there is."
        ) from None
    return tag


@dataclass(frozen=True)
class StoredModel:
    """A model package in the Bento store. version, sha256 (of the network): as registered."""

    folder: Path
    version: str
    sha256: str


class TaskService:
    """What a task's service inherits. Its start sets `log` and `trial`, which are closed when it stops.

    What answers is imported by `application` and `__init__`, in the workers: the process that starts them
    loads this class, too, and the service is ready the sooner for what that one does not import.
    """

    model = bentoml.models.BentoModel(model_tag())
    log: "PredictionLog[Any]"
    trial: "Trial[Any, Any, Any] | None" = None
    follower: "Follower | None" = None
    retention: "Retention | None" = None

    @staticmethod
    def application() -> "Application":
        """The one application of this process."""
        raise NotImplementedError

    @bentoml.on_deployment
    @staticmethod
    def choose_places() -> None:
        """Runs before the workers start, where the command was given: a worker of a Bento works
        in the Bento's own folder, which is no place for a log, and where no registry is."""
        here = Paths(root=Path.cwd(), project=project)
        try:
            os.environ[prediction_log_url.URL_VARIABLE] = prediction_log_url.url(here)
        except FullcycleError as error:
            raise bentoml.exceptions.BentoMLException(str(error)) from None
        os.environ[REGISTRY_VARIABLE] = registry_reader.choose(here)
        os.environ[KEPT_VARIABLE] = str(here.home / (os.environ.get(KEPT_VARIABLE) or settings.follow.folder))

    @bentoml.on_deployment
    @staticmethod
    def supervise() -> None:
        supervision.supervise()

    @bentoml.on_deployment
    @staticmethod
    def open_to_whom() -> None:
        """Before anything listens: not to everybody, unless that was said; and whose word it is who asks."""
        from serving import access

        command = click.get_current_context(silent=True)
        host = (command and command.params.get("host")) or BentoMLContainer.http.host.get()
        try:
            access.refuse_open_door(host, os.environ)
        except FullcycleError as error:
            raise bentoml.exceptions.BentoMLException(str(error)) from None
        # uvicorn would believe what anybody on this machine says of himself in X-Forwarded-For.
        os.environ.setdefault(PROXIES_VARIABLE, ",".join(settings.proxies))

    @staticmethod
    def log_url() -> str:
        return prediction_log_url.url(paths)

    def stored_model(self, service: Any) -> StoredModel:
        """service: what the decorator `bentoml.service` made of the task's class."""
        # A Bento keeps the model that it was built with, also when "latest" has moved on.
        bento = service.bento
        stored = bentoml.models.get(bento.info.all_models[0].tag if bento else self.model.tag)
        version, sha256 = (stored.info.metadata.get(key) for key in ("version", "sha256"))
        if not version or not sha256:
            raise ModelError(
                f"{stored.tag}: nobody registered this model: the Bento store knows neither version nor "
                f"SHA-256 of it. It is not loaded. `dvc repro --force deploy@{project}` stores the right one."
            )
        return StoredModel(Path(stored.path), str(version), str(sha256))

    def started(self, state: Any) -> None:
        """state: of the task's application; from now on the registry is followed."""
        self.lines = LogLines()
        logging.getLogger("uvicorn.access").propagate = False  # uvicorn then makes no lines to be thrown away
        if settings.retention_days is not None:
            from serving.retention import Retention

            self.retention = Retention(self.log.url, project, settings.retention_days)
        # What lives as long as the service need not be looked through by each garbage collection.
        gc.collect()
        gc.freeze()
        self.follower = state.follower = _follower(state)
        if self.follower is not None:
            self.follower.start()
        supervision.follow()

    @bentoml.on_shutdown
    def close(self) -> None:
        if self.follower is not None:
            self.follower.close()
        if self.trial is not None:
            self.trial.close()
        if self.retention is not None:
            self.retention.close()
        self.log.close()
        self.lines.close()


def _follower(state: Any) -> "Follower | None":
    from serving.follower import Follower
    from serving.package_store import PackageStore

    uri, follow = registry_reader.choose(paths), settings.follow
    if not (follow.enabled and uri):
        return None
    folder = Path(os.environ.get(KEPT_VARIABLE) or paths.home / follow.folder) / project
    try:
        reader = registry_reader.open_registry(uri, follow)
    except ParameterError as error:
        logger.error("No registry is followed: %s", error)
        return None
    tried = () if settings.trial.mode == "off" else (registry_reader.CHALLENGER,)
    aliases = (registry_reader.CHAMPION, *tried)
    return Follower(state, reader, PackageStore(folder, follow.keep), follow, aliases)
