"""A file on the web, brought once and kept under its checksum."""

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from pipeline.core.artifacts import CHUNK, sha256, writing_file
from pipeline.core.errors import SourceError, is_disk_full
from pipeline.core.paths import Paths
from pipeline.core.source_parameters import UrlSource

TIMEOUT_SECONDS = 60  # without a byte


def fetch(source: UrlSource, paths: Paths) -> Path:
    name = PurePosixPath(unquote(urlsplit(source.url).path)).name or "file"
    kept = paths.downloads / source.sha256 / name
    if kept.is_file() and sha256(kept) == source.sha256:
        return kept
    with writing_file(kept) as partial:
        found = _download(source.url, partial)
        if found != source.sha256:
            raise SourceError(
                f"{source.url}: what came has SHA-256 {found}, but params.yaml: "
                f"projects.{paths.project}.collect.sources says {source.sha256}. It is not used. Correct the "
                "checksum only if you trust the file."
            )
    return kept


def _download(url: str, path: Path) -> str:
    """Streams `url` to `path`; its SHA-256."""
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer, path.open("wb") as file:
            expected = int(answer.headers.get("Content-Length") or -1)
            while chunk := answer.read(CHUNK):
                digest.update(chunk)
                file.write(chunk)
            if expected not in (-1, file.tell()):
                raise http.client.IncompleteRead(b"", expected - file.tell())
    except (OSError, http.client.HTTPException) as error:
        if is_disk_full(error):
            raise
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise SourceError(
            f"{url}: could not be downloaded ({reason}). Check the address and the network, then run again; "
            "what was already brought is kept."
        ) from None
    return digest.hexdigest()
