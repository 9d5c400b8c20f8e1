"""The BentoML service of every project whose task is image classification.

    bentoml serve serving.image_classification:ImageClassification --arg project=digits

serves the model that the last `deploy` put into the Bento store; `bentoml serve digits:TAG` serves
a Bento, which holds its own. Arguments: project, and model, a tag of the Bento store.
"""

import gc
import json
import os
from pathlib import Path

from pipeline.core import quiet

quiet.silence()  # before BentoML reads its switches

import bentoml  # noqa: E402
from bentoml._internal.utils.analytics import usage_stats  # noqa: E402
from pydantic import BaseModel, ConfigDict  # noqa: E402

from pipeline.core import prediction_log as tables  # noqa: E402
from pipeline.core.paths import Paths  # noqa: E402
from serving.application import Application, State  # noqa: E402
from serving.direct_service import DirectService  # noqa: E402

usage_stats.do_not_track.cache_clear()  # the `bentoml` command has asked before this module is there


class Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")

    project: str
    model: str | None = None


arguments = bentoml.use_arguments(Arguments)
paths = Paths(root=Path.cwd(), project=arguments.project)


def model_tag() -> str:
    """The model asked for, else the one that this working tree deployed, else the newest stored."""
    deployment = paths.reports / "deployment.json"
    tag = arguments.model or f"{arguments.project}:latest"
    if not arguments.model and deployment.is_file():
        tag = json.loads(deployment.read_text())["model_tag"] or tag
    try:
        bentoml.models.get(tag)
    except bentoml.exceptions.NotFound:
        raise bentoml.exceptions.NotFound(
            f"The Bento store holds no model {tag}. `dvc repro --force deploy@{arguments.project}` puts the "
            "registered one there; `bentoml models list` shows what there is."
        ) from None
    return tag


state = State()


@bentoml.asgi_app(Application(state))
@bentoml.service(
    name=arguments.project,
    service_class=DirectService,
    workers=1,
    http={"host": "127.0.0.1"},  # BentoML's own default is every interface; --host opens it
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
)
class ImageClassification:
    model = bentoml.models.BentoModel(model_tag())

    @bentoml.on_deployment
    @staticmethod
    def choose_log() -> None:
        """Runs before the workers start, where the command was given: a worker of a Bento works
        in the Bento's own folder, which is no place for a log."""
        here = Paths(root=Path.cwd(), project=arguments.project)
        os.environ.setdefault(tables.URL_VARIABLE, tables.url(here))

    def __init__(self) -> None:
        from pipeline.tasks.image_classification.data import pixels
        from serving import onnx_model
        from serving.metrics import metrics
        from serving.prediction_log import PredictionLog

        # A Bento keeps the model that it was built with, also when "latest" has moved on.
        bento = ImageClassification.bento  # type: ignore[attr-defined]  # the decorator makes it a Service
        stored = bentoml.models.get(bento.info.all_models[0].tag if bento else self.model.tag)
        version, sha256 = (str(stored.info.metadata[key]) for key in ("version", "sha256"))
        state.model = onnx_model.load(Path(stored.path), version, sha256)
        state.log = PredictionLog(tables.url(paths), arguments.project, pixels.properties, metrics())
        # What lives as long as the service need not be looked through by each garbage collection.
        gc.collect()
        gc.freeze()

    @bentoml.on_shutdown
    def close(self) -> None:
        state.log.close()
