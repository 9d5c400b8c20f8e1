"""mlflow.db in a folder that was moved or copied.

MLflow writes down as absolute addresses where files lie. Once the repository's folder is moved, copied or
mounted elsewhere, they lead to where it was: models cannot be read, and new runs put their files into the old
place, or into the clone that was copied. So the addresses in the repository's own mlflow.db are made to lead
into its own mlruns/. A store that MLFLOW_TRACKING_URI names is left as it is.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pipeline.core.paths import Paths

FILES = "mlruns"
# Of MLflow 3's tables (mlflow/store/*/dbmodels/models.py) what says where files lie.
PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)
LOCK_SECONDS = 30  # that another process may be writing


def follow(paths: Paths) -> None:
    """Makes the addresses in mlflow.db lead into mlruns/ beside it, where they lead into another folder's."""
    database = paths.home / "mlflow.db"
    if not database.is_file():
        return
    with closing(sqlite3.connect(database, timeout=LOCK_SECONDS)) as store:
        try:
            found = store.execute("SELECT name, artifact_location FROM experiments").fetchall()
        except sqlite3.DatabaseError:  # no tables yet, or none of MLflow's: it says what is wrong
            return
        here = _address(paths)
        moved = {place.removesuffix(f"/{name}") for name, place in found if _moved(paths, name, place)}
        for there in moved:
            length = len(there) + 1
            with store:
                for table, column in PLACES:
                    change = f"UPDATE {table} SET {column} = ? || substr({column}, ?)"
                    which = f"WHERE substr({column}, 1, ?) = ?"
                    store.execute(f"{change} {which}", (here, length, length, f"{there}/"))


def here(address: str, paths: Paths) -> str:
    """Where files lie that lay at `address` once: in this folder's mlruns/, if they are there."""
    lay = Path(unquote(urlsplit(address).path))
    if not address.startswith("file:") or FILES not in lay.parts:
        return address
    inside = lay.parts[len(lay.parts) - lay.parts[::-1].index(FILES) :]
    now = (paths.home / FILES).joinpath(*inside)
    return now.as_uri() if now.exists() else address


def _moved(paths: Paths, name: str, place: str) -> bool:
    """Whether an experiment of tracking.py is said to lie elsewhere, though its files are here."""
    made_here = place.startswith("file:") and place.endswith(f"/{FILES}/{name}")
    return made_here and place != f"{_address(paths)}/{name}" and (paths.home / FILES / name).is_dir()


def _address(paths: Paths) -> str:
    return (paths.home / FILES).as_uri()
