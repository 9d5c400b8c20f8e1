"""Files of a version that lie where this machine can open them."""

import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.core.errors import ModelError


def copy(location: str, file: str, target: Path) -> None:
    """location: a path or a file: address of a folder. ModelError: there is no such file in it."""
    parts = urlsplit(location)
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        raise ModelError(
            f"The files of this version lie at {parts.scheme}://{parts.netloc}, which the service does not "
            "open. Follow an MLflow server that hands them out (`mlflow server --serve-artifacts`), or keep "
            "them in a folder that the service can read."
        )
    source = Path(unquote(parts.path) if parts.scheme else location) / file
    if not source.is_file():
        raise ModelError(f"{file} is missing where the registry says that the files of this version lie.")
    shutil.copyfile(source, target)
