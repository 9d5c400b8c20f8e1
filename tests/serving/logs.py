"""What tests ask of a prediction log."""

import time
from typing import Any

import sqlalchemy
from sqlalchemy import func, select

from pipeline.log import prediction_log
from serving.prediction_log import PredictionLog


def written(log: PredictionLog[Any]) -> None:
    """Waits until nothing waits to be written."""
    deadline = time.monotonic() + 10
    while log.pending:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def count(log_url: str, table: sqlalchemy.Table, **where: str) -> int:
    engine = prediction_log.engine(log_url)
    try:
        with engine.connect() as connection:
            conditions = (table.c[name] == value for name, value in where.items())
            return connection.scalar(select(func.count()).select_from(table).where(*conditions)) or 0
    finally:
        engine.dispose()
