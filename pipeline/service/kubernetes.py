"""Kubernetes manifests for a Bento, by the template kubernetes.yaml.j2.

Same Bento and parameters, same text: what is deployed can be kept in git and compared.
"""

import math
from pathlib import Path

from pipeline.core.artifacts import writing_file
from pipeline.core.parameters import Container
from pipeline.core.paths import Paths
from pipeline.core.serve_parameters import TOKEN_VARIABLES
from pipeline.log.prediction_log_url import URL_VARIABLE

TEMPLATE = Path(__file__).with_name("kubernetes.yaml.j2")
# As serving/Dockerfile has them.
UID = 10001
PORT = 3000
LOG_FOLDER = "/var/lib/fullcycle"
SCRATCH_MIB = 256
LEAVE_SECONDS = 5  # a pod that ends is still sent requests until every node has heard of it
DRAIN_SECONDS = 30  # for answering what was accepted: a body may take as long to come
STOP_SECONDS = 5  # for writing the prediction log


def write(paths: Paths, text: str) -> None:
    """Writes reports/P/kubernetes.yaml."""
    with writing_file(paths.kubernetes) as partial:
        partial.write_text(text)


def render(bento_tag: str, container: Container) -> str:
    """bento_tag: PROJECT:VERSION; the image is called so, below `container.registry`."""
    from jinja2 import Environment, StrictUndefined

    project, version = bento_tag.split(":")
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(TEMPLATE.read_text()).render(
        project=project,
        name=project.replace("_", "-").strip("-"),
        version=version,
        bento_tag=bento_tag,
        image=f"{container.registry}/{bento_tag}" if container.registry else bento_tag,
        container=container,
        millicores=math.ceil(container.cpu_cores * 1000),
        millicores_max=math.ceil(container.cpu_cores_max * 1000),
        tokens=TOKEN_VARIABLES,
        uid=UID,
        port=PORT,
        log_folder=LOG_FOLDER,
        log_variable=URL_VARIABLE,
        scratch_mib=SCRATCH_MIB,
        leave_seconds=LEAVE_SECONDS,
        grace_seconds=LEAVE_SECONDS + DRAIN_SECONDS + STOP_SECONDS,
    )
