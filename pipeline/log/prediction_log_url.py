"""Where the prediction log of a project is. Apart from the log itself (prediction_log.py), whose SQLAlchemy
takes a quarter of a second to import: the process that starts a service's workers needs no more than this."""

import os
import re

from pipeline.core.errors import ParameterError
from pipeline.core.paths import Paths

URL_VARIABLE = "FULLCYCLE_PREDICTION_LOG"
SHAPE = re.compile(r"\w+(\+\w+)?://")


def url(paths: Paths) -> str:
    """SQLAlchemy URL. ParameterError: what the environment says is none."""
    given = os.environ.get(URL_VARIABLE)
    if given and not SHAPE.match(given):
        raise ParameterError(
            f"{URL_VARIABLE} must be the address of a database, such as sqlite:////var/log/predictions.db or "
            "postgresql+psycopg://user@host/name. Mend it, or unset it for predictions/ in this folder."
        )
    return paths.located(given) if given else f"sqlite:///{paths.prediction_log}"
