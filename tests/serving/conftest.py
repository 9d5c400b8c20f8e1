"""One synthetic model for all tests of the service; the Bento store lies in a temporary folder."""

import importlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.core import model_package
from pipeline.core.registry import Version
from pipeline.log import prediction_log_url
from pipeline.service import bento
from pipeline.service.service_process import serving
from serving.image_application import ImageApplication, ImageState
from serving.image_log import ImageLog
from serving.image_model import ImageModel, load
from serving.metrics import metrics
from serving.recommendation_application import RecommendationApplication, RecommendationState
from serving.recommendation_log import RecommendationLog
from tests.command_line import Command, exit_code
from tests.serving.asgi_client import AsgiClient
from tests.serving.fake_recommender import FakeRecommender
from tests.serving.postgresql import Server, missing
from tests.serving.synthetic import SETTINGS, SHOP_SETTINGS, write_package

ROOT = Path(__file__).parents[2]
SERVICE = "serving.image_classification:ImageClassification"


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits, 28x28 grey."""
    return write_package(tmp_path_factory.mktemp("models") / "digits")


@pytest.fixture(scope="session")
def version(package: Path) -> Version:
    return Version("digits", "3", model_package.verify(package)["files"][model_package.NETWORK])


@pytest.fixture(scope="session")
def model(package: Path) -> ImageModel:
    return load(package, "3")


@pytest.fixture
def log_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/predictions/digits.db"


@pytest.fixture
def fullcycle(
    tmp_path: Path, log_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs a command line in a folder with params.yaml, on the log of the test."""
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(prediction_log_url.URL_VARIABLE, log_url)

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = exit_code(monkeypatch, *words)
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture
def log(log_url: str) -> Iterator[ImageLog]:
    made = ImageLog(log_url, "digits", metrics())
    yield made
    made.close()


@pytest.fixture
def state(model: ImageModel, log: ImageLog) -> ImageState:
    made = ImageState()
    made.model, made.log = model, log
    return made


@pytest.fixture
def client(state: ImageState) -> AsgiClient:
    """The application without a server around it."""
    return AsgiClient(ImageApplication(state, SETTINGS))


@pytest.fixture
def shop_state(log_url: str) -> Iterator[RecommendationState]:
    """A recommendation service's, with a recommender that counts."""
    made = RecommendationState()
    made.model, made.log = FakeRecommender(), RecommendationLog(log_url, "shop", metrics())
    yield made
    made.log.close()


@pytest.fixture
def shop(shop_state: RecommendationState) -> AsgiClient:
    return AsgiClient(RecommendationApplication(shop_state, SHOP_SETTINGS))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server; tests that want one are skipped where it is not installed."""
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    made = Server()
    yield made
    made.remove()


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database in which MLflow has made its tables, to be copied: making them takes seconds."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}", f"sqlite:///{file}").search_registered_models()
    return file


@pytest.fixture(scope="session")
def bento_home() -> Iterator[Path]:
    """A Bento store of its own for the whole session: BentoML looks for it once in a process."""
    before = os.environ.get("BENTOML_HOME")
    folder = Path(tempfile.mkdtemp(prefix="fullcycle-bentos-"))
    os.environ["BENTOML_HOME"] = str(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # BentoML uses what newer libraries have deprecated
        from bentoml.models import BentoMLContainer

        stores = Path(BentoMLContainer.bentoml_home.get())
        importlib.import_module("bentoml.bentos")
    assert stores == folder, "BentoML was used before this fixture"
    yield folder
    shutil.rmtree(folder)
    if before is None:
        del os.environ["BENTOML_HOME"]
    else:
        os.environ["BENTOML_HOME"] = before


@pytest.fixture(scope="session")
def bento_tag(bento_home: Path, package: Path, version: Version) -> str:
    return bento.build(ROOT, SERVICE, bento.store_model(package, version), SETTINGS)


@pytest.fixture(scope="session")
def running(bento_tag: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A Bento that runs: url, client, log_url."""
    url_of_log = f"sqlite:///{tmp_path_factory.mktemp('log')}/digits.db"
    with (
        serving(bento_tag, {"FULLCYCLE_PREDICTION_LOG": url_of_log}) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=20) as made,
    ):
        yield {"url": url, "client": made, "log_url": url_of_log}
