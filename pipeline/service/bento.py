"""A registered model as a BentoML model, and a Bento that serves it.

Both go to the Bento store (~/bentoml, or BENTOML_HOME), which no stage owns: it may be wiped, and
other clones of this repository may use it. Names say project, registry version and checksum, so that
storing twice is doing nothing and a clone never takes another one's model for its own.
"""

import compileall
import hashlib
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from pipeline.core import model_package, serve_parameters
from pipeline.core.artifacts import sha256_of_folder
from pipeline.core.errors import ModelError, ParameterError, ServiceError
from pipeline.core.registry import Version
from pipeline.core.serve_parameters import Serve

BENTOFILE = "bentofile.yaml"
SHORT = 8  # hex digits of a checksum in a name
BUILD_SECONDS = 120


def home() -> Path:
    """The folder of the Bento store; nothing of BentoML is imported for it."""
    return Path(os.environ.get("BENTOML_HOME") or Path.home() / "bentoml").expanduser().resolve()


def is_stored(tag: str) -> bool:
    """Whether the store holds a Bento. tag: NAME:VERSION"""
    return (_folder(tag) / "bento.yaml").is_file()


def _folder(tag: str) -> Path:
    return home() / "bentos" / tag.replace(":", "/")


def store_model(package: Path, version: Version) -> str:
    """Puts a verified package into the Bento model store, unless it is there; returns its tag.

    The tag ends in the beginning of the checksum of everything in the package: the same network
    may be shipped with newer state.
    """
    import bentoml
    from bentoml.exceptions import NotFound

    contents = hashlib.sha256((package / model_package.DESCRIPTION).read_bytes()).hexdigest()
    tag = f"{version.name}:v{version.version}-{contents[:SHORT]}"
    try:
        stored = bentoml.models.get(tag)
        if stored.info.metadata.get("sha256") == version.sha256:
            model_package.verify(Path(stored.path))
            return tag
        bentoml.models.delete(tag)
    except NotFound:
        pass
    except ModelError:  # damaged in the store; the package in hand is whole
        bentoml.models.delete(tag)
    with bentoml.models.create(
        tag,
        module="serving",
        labels={"project": version.name},
        metadata={"version": version.version, "sha256": version.sha256},
    ) as stored:
        model_package.copy(package, Path(stored.path))
    return tag


def build(root: Path, service: str, model_tag: str, settings: Serve) -> str:
    """Builds the Bento that serves a stored model, unless it is there; returns its tag.

    service: "module:attribute". What goes in stands in bentofile.yaml. That alone is copied to where
    BentoML builds, with the settings in place of params.yaml, so that the name can hold a checksum of
    exactly what is built.
    """
    import bentoml
    from bentoml.exceptions import NotFound

    project, model_version = model_tag.split(":")
    with tempfile.TemporaryDirectory(prefix="fullcycle-bento-") as folder:
        context = Path(folder)
        _copy_sources(root, context, service, {"project": project, "model": model_tag})
        serve_parameters.write(context, settings)
        contents = f"{bentoml.__version__}\0{sha256_of_folder(context)}"
        version = f"{model_version}-{hashlib.sha256(contents.encode()).hexdigest()[:SHORT]}"
        tag = f"{project}:{version}"
        try:
            bentoml.bentos.get(tag)
        except NotFound:
            _run_build(context, version)
            _compile(_folder(tag) / "src")
    return tag


def checksum(tag: str) -> str:
    """SHA-256 over all files of a Bento in the store; its model has one of its own."""
    import bentoml

    return sha256_of_folder(Path(bentoml.bentos.get(tag).path))


def _copy_sources(root: Path, context: Path, service: str, arguments: dict[str, str]) -> None:
    bentofile: dict[str, Any] = yaml.safe_load((root / BENTOFILE).read_text())
    include = [pattern for pattern in bentofile["include"] if pattern != serve_parameters.PARAMS]
    for pattern in include:
        files = [file for file in root.glob(pattern) if file.is_file()]
        if not files:
            raise ParameterError(f"{BENTOFILE}: include: {pattern!r} matches no file below {root}.")
        for file in files:
            target = context / file.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    made = {"service": service, "args": arguments, "include": [*include, serve_parameters.FILE]}
    (context / BENTOFILE).write_text(yaml.safe_dump(bentofile | made))


def _run_build(context: Path, version: str) -> None:
    """In a process of its own: building imports the service, and the store must see it afresh."""
    command = [
        sys.executable,
        "-m",
        "bentoml",
        "build",
        "--output",
        "tag",
        "--version",
        version,
        str(context),
    ]
    try:
        done = subprocess.run(command, cwd=context, capture_output=True, text=True, timeout=BUILD_SECONDS)
    except subprocess.TimeoutExpired:
        raise ServiceError(f"`{' '.join(command)}` did not end within {BUILD_SECONDS} s.") from None
    if done.returncode:
        raise ServiceError(f"`{' '.join(command)}` failed:\n{(done.stdout + done.stderr)[-2000:]}")


def _compile(sources: Path) -> None:
    """So that no start has to, where a service may not write beside its code or writes no bytecode.

    Bytecode says of which source it is by a checksum of that, so copies of a Bento may have other times.
    """
    mode = py_compile.PycInvalidationMode.CHECKED_HASH
    compileall.compile_dir(sources, stripdir=str(sources), quiet=1, invalidation_mode=mode)
