"""The MLflow model registry: versions of a project's model, and what its aliases point to.

What is registered is a model package (pipeline/core/model_package.py), stored as an MLflow model of
the ONNX flavour. A version's tag `sha256` is that of its network; it names the model for good.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core import model_package, tracking
from pipeline.core.artifacts import sha256, writing_folder
from pipeline.core.errors import ModelError
from pipeline.core.paths import Paths

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
PREVIOUS = "previous"
CHALLENGER = "challenger"
ALIASES = (CHAMPION, PREVIOUS, CHALLENGER)
REQUIREMENTS = ("onnxruntime", "numpy")  # what running the network needs
HISTORY_TAG = "history."  # tags of the registered model: who moved an alias (champion/alias_history.py)
TAG_LENGTH_MAX = 5000  # MLflow refuses longer tag values
DESCRIPTION_LENGTH_MAX = 5000  # characters that MLflow's database has for it


@dataclass(frozen=True)
class Version:
    """name: the project; version: counted from "1"; sha256: of the network, 64 hex digits."""

    name: str
    version: str
    sha256: str


def champion(paths: Paths) -> Version | None:
    """The version that the alias `champion` points to, None when nothing was ever promoted."""
    return by_alias(tracking.client(paths), paths.project, CHAMPION)


def by_alias(client: "MlflowClient", project: str, alias: str) -> Version | None:
    from mlflow.exceptions import MlflowException

    try:
        return _version(client.get_model_version_by_alias(project, alias))
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def by_number(client: "MlflowClient", name: str, number: str) -> Version | None:
    """One version of a registered model, None when there is none of that number."""
    from mlflow.exceptions import MlflowException

    try:
        return _version(client.get_model_version(name, number))
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def by_checksum(client: "MlflowClient", project: str, checksum: str) -> Version | None:
    """The version whose network has this SHA-256, None when it was never registered."""
    found = client.search_model_versions(f"name = '{project}' and tags.sha256 = '{checksum}'")
    return _version(found[0]) if found else None


def register(run: tracking.StageRun, package: Path, tags: Mapping[str, str]) -> Version:
    """A new version from a package; the one that exists when the same network is there already.

    That one gets the tags too: it may have been tested on other data since.
    """
    description = model_package.verify(package)
    checksum = description["files"][model_package.NETWORK]
    project = run.paths.project
    known = by_checksum(run.client, project, checksum)
    if known is not None:
        retag(run.client, known, tags)
        return known
    model_id, uri = _log_model(run, package, checksum)
    if not run.client.search_registered_models(f"name = '{project}'"):
        run.client.create_registered_model(project)
    files = description["files"] | {model_package.DESCRIPTION: sha256(package / model_package.DESCRIPTION)}
    told = {
        "sha256": checksum,
        **{f"sha256.{name}": value for name, value in files.items()},
        "requirements": ", ".join(_requirements()),
        "run.pass": run.parent_id,
        **tags,
    }
    told = {name: value[:TAG_LENGTH_MAX] for name, value in told.items()}
    created = run.client.create_model_version(
        project, source=uri, run_id=run.id, model_id=model_id, tags=told
    )
    return _version(created)


def retag(client: "MlflowClient", version: Version, tags: Mapping[str, str]) -> None:
    """Sets those tags of a version that differ."""
    there = client.get_model_version(version.name, version.version).tags
    for name, value in tags.items():
        if there.get(name) != value[:TAG_LENGTH_MAX]:
            client.set_model_version_tag(version.name, version.version, name, value[:TAG_LENGTH_MAX])


def tag(client: "MlflowClient", version: Version, name: str) -> str | None:
    found: str | None = client.get_model_version(version.name, version.version).tags.get(name)
    return found


def _requirements() -> list[str]:
    """Pinned to what is installed, and was tested."""
    return [f"{name}=={metadata.version(name)}" for name in REQUIREMENTS]


def _log_model(run: tracking.StageRun, package: Path, checksum: str) -> tuple[str, str]:
    import mlflow
    import onnx
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Schema, TensorSpec

    network = onnx.load(package / model_package.NETWORK)
    signature = ModelSignature(
        Schema([_tensor_spec(TensorSpec, value) for value in network.graph.input]),
        Schema([_tensor_spec(TensorSpec, value) for value in network.graph.output]),
    )
    with mlflow.start_run(run_id=run.id):
        logged = mlflow.onnx.log_model(
            network,
            name="model",
            signature=signature,
            pip_requirements=_requirements(),
            save_as_external_data=False,
        )
    for name in _beside_network(package):
        run.client.log_model_artifact(logged.model_id, str(package / name))
    stored = Path(mlflow.artifacts.download_artifacts(logged.model_uri)) / model_package.MLFLOW_NETWORK
    if sha256(stored) != checksum:
        raise ModelError(f"The MLflow store changed the network: {stored} differs from {package}.")
    return logged.model_id, logged.model_uri


def _beside_network(folder: Path) -> list[str]:
    """The files of a package beside its network, whatever that one is called there."""
    files = model_package.read_description(folder)["files"]
    return [*(name for name in files if name != model_package.NETWORK), model_package.DESCRIPTION]


def _tensor_spec(spec: type, value: Any) -> Any:
    """MLflow's tensor description of an ONNX graph's input or output; -1 where the size is free."""
    import onnx

    tensor = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim)
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    return spec(dtype, shape, name=value.name)


def describe(client: "MlflowClient", version: Version, text: str) -> None:
    """What MLflow's page of the version shows, Markdown of at most DESCRIPTION_LENGTH_MAX characters."""
    client.update_model_version(version.name, version.version, text)


def set_alias(client: "MlflowClient", version: Version, alias: str, why: str) -> None:
    """Points `alias` to `version`; the version keeps when and why as tags, since MLflow does not."""
    client.set_registered_model_alias(version.name, alias, version.version)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    retag(client, version, {f"{alias}.at": at, f"{alias}.why": why})


def stored_at(client: "MlflowClient", version: Version) -> str:
    """Where the files of a version lie; they stay there when the registry is wiped."""
    return str(client.get_model_version_download_uri(version.name, version.version))


def download(paths: Paths, version: Version, folder: Path) -> Path:
    """Puts the package of `version` into `folder`, which must not exist; checks every checksum."""
    tracking.client(paths)
    return download_from(f"models:/{version.name}/{version.version}", version, folder)


def download_from(uri: str, version: Version, folder: Path) -> Path:
    """As `download`, from any address of MLflow's, also of a model that is no longer registered."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        stored = Path(mlflow.artifacts.download_artifacts(uri))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise ModelError(
            f"{version.name} version {version.version}: its files are not where the registry says "
            f"({uri}: {error}). Bring them back (of a local registry: mlruns/). If they are lost, take the "
            "version out of the registry (of a local one: remove mlflow.db); `dvc repro` then registers what "
            "lies in models/."
        ) from error
    with writing_folder(folder) as partial:
        shutil.copyfile(stored / model_package.MLFLOW_NETWORK, partial / model_package.NETWORK)
        for name in _beside_network(stored):
            shutil.copyfile(stored / name, partial / name)
        if sha256(partial / model_package.NETWORK) != version.sha256:
            raise ModelError(
                f"{version.name} version {version.version}: the stored network does not have the "
                f"SHA-256 of the registry ({version.sha256}). It is not used."
            )
        model_package.verify(partial)
    return folder


def _version(found: "ModelVersion") -> Version:
    return Version(found.name, str(found.version), found.tags.get("sha256", ""))
