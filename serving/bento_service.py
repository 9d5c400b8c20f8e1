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
from typing import Any

from pipeline.core import quiet

quiet.silence()  # before BentoML reads its switches

import bentoml  # noqa: E402
from bentoml._internal.utils.analytics import usage_stats  # noqa: E402
from pydantic import BaseModel, ConfigDict  # noqa: E402

from pipeline.core import prediction_log as tables  # noqa: E402
from pipeline.core import serve_parameters  # noqa: E402
from pipeline.core.errors import ParameterError  # noqa: E402
from pipeline.core.paths import Paths  # noqa: E402
from pipeline.core.serve_parameters import KEPT_VARIABLE, REGISTRY_VARIABLE  # noqa: E402
from serving import registry_reader  # noqa: E402
from serving.direct_service import DirectService  # noqa: E402
from serving.follower import Follower  # noqa: E402
from serving.package_store import PackageStore  # noqa: E402
from serving.prediction_log import PredictionLog  # noqa: E402
from serving.registry_reader import CHALLENGER, CHAMPION  # noqa: E402

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

asgi_app = bentoml.asgi_app
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
    """What a task's service inherits. Its start sets `log`, which is closed when it stops."""

    model = bentoml.models.BentoModel(model_tag())
    log: PredictionLog[Any]
    follower: Follower | None = None

    @bentoml.on_deployment
    @staticmethod
    def choose_places() -> None:
        """Runs before the workers start, where the command was given: a worker of a Bento works
        in the Bento's own folder, which is no place for a log, and where no registry is."""
        here = Paths(root=Path.cwd(), project=project)
        os.environ.setdefault(tables.URL_VARIABLE, tables.url(here))
        os.environ.setdefault(REGISTRY_VARIABLE, registry_reader.choose(here))
        os.environ.setdefault(KEPT_VARIABLE, str(here.home / settings.follow.folder))

    @staticmethod
    def log_url() -> str:
        return tables.url(paths)

    def stored_model(self, service: Any) -> StoredModel:
        """service: what the decorator `bentoml.service` made of the task's class."""
        # A Bento keeps the model that it was built with, also when "latest" has moved on.
        bento = service.bento
        stored = bentoml.models.get(bento.info.all_models[0].tag if bento else self.model.tag)
        version, sha256 = (str(stored.info.metadata[key]) for key in ("version", "sha256"))
        return StoredModel(Path(stored.path), version, sha256)

    def started(self, state: Any) -> None:
        """What lives as long as the service need not be looked through by each garbage collection.

        state: of the task's application; from now on the registry is followed."""
        gc.collect()
        gc.freeze()
        self.follower = state.follower = _follower(state)
        if self.follower:
            self.follower.start()

    @bentoml.on_shutdown
    def close(self) -> None:
        if self.follower:
            self.follower.close()
        self.log.close()


def _follower(state: Any) -> Follower | None:
    uri, follow = registry_reader.choose(paths), settings.follow
    if not (follow.enabled and uri):
        return None
    folder = Path(os.environ.get(KEPT_VARIABLE) or paths.home / follow.folder) / project
    try:
        reader = registry_reader.open_registry(uri, follow)
    except ParameterError as error:
        logger.error("No registry is followed: %s", error)
        return None
    aliases = (CHAMPION, CHALLENGER) if follow.challenger else (CHAMPION,)
    return Follower(state, reader, PackageStore(folder, follow.keep), follow, aliases)
