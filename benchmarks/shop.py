"""The parameters of a project whose task is recommendation."""

import sys
from pathlib import Path

from pipeline.core.errors import ParameterError
from pipeline.core.parameters import load
from pipeline.tasks.recommendation.parameters import Parameters


def parameters(root: Path, project: str) -> Parameters:
    """Ends the process with a message where there is no such project."""
    try:
        found = load(root / "params.yaml", project)
    except ParameterError as error:
        sys.exit(str(error))
    if not isinstance(found, Parameters):
        sys.exit(f"{project} is of the task {found.task}; this benchmark is for recommendation.")
    return found
