"""The registry read from MLflow's own database, which is opened for reading alone."""

import math
import os
import sqlite3
from collections.abc import Collection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy
from sqlalchemy import Engine, NullPool, column, create_engine, make_url, select, table
from sqlalchemy.exc import SQLAlchemyError

from pipeline.core.errors import TrackingError
from serving import local_files
from serving.registry_reader import Registered

# Of MLflow 3's tables (mlflow/store/model_registry/dbmodels/models.py) what is asked.
KEY = ("workspace", "name", "version")
ALIASES = table("registered_model_aliases", *map(column, (*KEY, "alias")))
VERSIONS = table("model_versions", *map(column, (*KEY, "source", "storage_location")))
TAGS = table("model_version_tags", *map(column, (*KEY, "key", "value")))
WORKSPACE_VARIABLE = "MLFLOW_WORKSPACE"
WORKSPACE = "default"  # MLflow's, where nothing else is said


class SqlRegistry:
    def __init__(self, uri: str, timeout: float) -> None:
        """uri: SQLAlchemy's, of SQLite or PostgreSQL; timeout: seconds that a locked file is waited for, or a
        server that does not answer."""
        self._engine = _engine(uri, timeout)
        self._workspace = os.environ.get(WORKSPACE_VARIABLE) or WORKSPACE

    def aliases(self, name: str, wanted: Collection[str]) -> dict[str, Registered]:
        versions = ALIASES.join(VERSIONS, _same(ALIASES, VERSIONS)).outerjoin(TAGS, _same(TAGS, VERSIONS))
        location = sqlalchemy.func.coalesce(VERSIONS.c.storage_location, VERSIONS.c.source)
        query = (
            select(ALIASES.c.alias, ALIASES.c.version, location, TAGS.c.key, TAGS.c.value)
            .select_from(versions)
            .where(
                ALIASES.c.workspace == self._workspace,
                ALIASES.c.name == name,
                ALIASES.c.alias.in_(list(wanted)),
            )
        )
        try:
            with self._engine.connect() as connection:
                rows = connection.execute(query).all()
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise TrackingError(f"The registry's database cannot be read: {error}") from error
        tags: dict[tuple[str, str, str], dict[str, str]] = {}
        for alias, version, place, key, value in rows:
            found = tags.setdefault((alias, str(version), place), {})
            if key is not None:
                found[key] = value
        return {
            alias: Registered.of_tags(name, version, told, place)
            for (alias, version, place), told in tags.items()
        }

    def copy(self, version: Registered, file: str, target: Path) -> None:
        local_files.copy(version.location, file, target)

    def close(self) -> None:
        self._engine.dispose()


def _engine(uri: str, timeout: float) -> Engine:
    url = make_url(uri)
    if url.get_backend_name() == "postgresql":
        return create_engine(url, pool_size=1, pool_pre_ping=True, connect_args=_libpq(timeout))

    def connect() -> sqlite3.Connection:
        # mode=ro neither makes the file nor writes to it.
        file = f"file:{quote(os.path.abspath(url.database or ''))}?mode=ro"
        return sqlite3.connect(file, uri=True, timeout=timeout, check_same_thread=False)

    return create_engine("sqlite://", creator=connect, poolclass=NullPool)


def _libpq(timeout: float) -> dict[str, Any]:
    """https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS"""
    milliseconds = math.ceil(1000 * timeout)
    return {
        "connect_timeout": max(2, math.ceil(timeout)),  # seconds; libpq waits no shorter
        "tcp_user_timeout": milliseconds,
        "options": f"-c statement_timeout={milliseconds} -c default_transaction_read_only=on",
    }


def _same(one: sqlalchemy.TableClause, other: sqlalchemy.TableClause) -> sqlalchemy.ColumnElement[bool]:
    return sqlalchemy.and_(*(one.c[name] == other.c[name] for name in KEY))
