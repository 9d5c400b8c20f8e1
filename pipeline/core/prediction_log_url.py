"""Where the prediction log of a project is. Apart from the log itself (prediction_log.py), whose SQLAlchemy
takes a quarter of a second to import: the process that starts a service's workers needs no more than this."""

import os

from pipeline.core.paths import Paths

URL_VARIABLE = "FULLCYCLE_PREDICTION_LOG"


def url(paths: Paths) -> str:
    """SQLAlchemy URL."""
    given = os.environ.get(URL_VARIABLE)
    return paths.located(given) if given else f"sqlite:///{paths.prediction_log}"
