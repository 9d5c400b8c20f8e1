"""The parameters of an image project, for benchmarks."""

import sys

from pipeline.core.errors import ParameterError
from pipeline.core.parameters import load
from pipeline.core.paths import Paths
from pipeline.tasks.image_classification.parameters import Parameters


def parameters(paths: Paths) -> Parameters:
    """Ends the process with a message where there is no such project."""
    try:
        found = load(paths.root / "params.yaml", paths.project)
    except ParameterError as error:
        sys.exit(str(error))
    if not isinstance(found, Parameters):
        sys.exit(f"{paths.project} is of the task {found.task}; this benchmark is for images.")
    return found
