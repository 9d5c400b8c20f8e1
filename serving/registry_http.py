"""The registry read from an MLflow server, by its REST API; files come through the server, too.

Who asks is said by MLflow's own variables: MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and
MLFLOW_TRACKING_PASSWORD; MLFLOW_TRACKING_SERVER_CERT_PATH and MLFLOW_TRACKING_INSECURE_TLS are heeded.
"""

import os
import ssl
from collections.abc import Collection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from pipeline.core.errors import ModelError, TrackingError
from serving import local_files
from serving.registry_reader import Registered

API = "/api/2.0/mlflow"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"  # the server hands out the files of mlflow-artifacts:/
NO_SUCH = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
CHUNK = 1 << 20


class HttpRegistry:
    def __init__(self, uri: str, timeout: float) -> None:
        """timeout: seconds for a connection, and between two pieces of an answer."""
        self._base, self._netloc = uri.rstrip("/"), urlsplit(uri).netloc
        self._client = httpx.Client(
            timeout=timeout, verify=_verify(), auth=_auth(), headers=_headers(), follow_redirects=False
        )

    def aliases(self, name: str, wanted: Collection[str]) -> dict[str, Registered]:
        found: dict[str, Registered] = {}
        for alias in wanted:
            try:
                version = self._version(name, alias)
            except (KeyError, TypeError, AttributeError) as error:
                raise TrackingError(f"The MLflow server's answer makes no sense: {error!r}") from error
            if version is not None:
                found[alias] = version
        return found

    def copy(self, version: Registered, file: str, target: Path) -> None:
        parts = urlsplit(version.location)
        if parts.scheme != "mlflow-artifacts":
            local_files.copy(version.location, file, target)
            return
        if parts.netloc not in ("", self._netloc):
            raise ModelError(
                f"The files of this version lie at the server {parts.netloc}, which is not the one that is "
                "followed; nothing is fetched from there."
            )
        path = quote(f"{parts.path.strip('/')}/{file}")
        try:
            with self._client.stream("GET", f"{self._base}{ARTIFACTS}/{path}") as answer:
                if answer.status_code == 404:
                    raise ModelError(f"{file} is missing at the server that keeps the files of this version.")
                if answer.status_code != 200:
                    raise TrackingError(
                        f"The MLflow server answered {answer.status_code} when asked for {file}."
                    )
                with target.open("wb") as opened:
                    for chunk in answer.iter_bytes(CHUNK):
                        opened.write(chunk)
        except httpx.HTTPError as error:
            raise TrackingError(f"The MLflow server broke off while sending {file}: {error!r}") from error

    def close(self) -> None:
        self._client.close()

    def _version(self, name: str, alias: str) -> Registered | None:
        answer = self._get(f"{API}/registered-models/alias", {"name": name, "alias": alias})
        if answer is None:
            return None
        version = answer["model_version"]
        number = str(version["version"])
        place = self._get(f"{API}/model-versions/get-download-uri", {"name": name, "version": number})
        tags = {tag["key"]: tag.get("value", "") for tag in version.get("tags", [])}
        location = place["artifact_uri"] if place else version["source"]
        return Registered.of_tags(name, number, tags, location)

    def _get(self, path: str, parameters: dict[str, str]) -> Any:
        """The answer, None where the registry knows of no such thing."""
        try:
            answer = self._client.get(f"{self._base}{path}", params=parameters)
            said = answer.json()
        except (httpx.HTTPError, ValueError, RecursionError) as error:
            raise TrackingError(f"The MLflow server does not answer {path}: {error!r}") from error
        if isinstance(said, dict):
            if answer.status_code == 200:
                return said
            if said.get("error_code") in NO_SUCH:
                return None
        raise TrackingError(f"The MLflow server answered {answer.status_code} to {path}: {str(said)[:100]!r}")


def _auth() -> httpx.BasicAuth | None:
    user, password = (os.environ.get(f"MLFLOW_TRACKING_{name}") for name in ("USERNAME", "PASSWORD"))
    return httpx.BasicAuth(user, password) if user and password else None


def _headers() -> dict[str, str]:
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return {"authorization": f"Bearer {token}"} if token else {}


def _verify() -> ssl.SSLContext | bool:
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        return False
    certificates = os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH")
    return ssl.create_default_context(cafile=certificates) if certificates else True
