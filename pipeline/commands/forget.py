"""`fullcycle forget`: deletes from the prediction log what is too old, or what somebody wants deleted; that
from the inbox, too, into which `fullcycle harvest` brought it.

It asks nothing, so that a script can run it; what is not there is not deleted again, which is no error.
"""

import argparse
import json
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

from pipeline import tasks
from pipeline.core import parameters
from pipeline.core.errors import ParameterError, ServiceError
from pipeline.core.paths import Paths

if TYPE_CHECKING:
    from pipeline.log.forgetting import Selection

HELP = "delete what production kept: what is old, one prediction, or all of one customer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("project", help="a project of params.yaml")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--before",
        metavar="DATE",
        help="what came before this day (UTC), or time such as 2026-03-01T18:00+01:00",
    )
    which.add_argument(
        "--prediction", metavar="ID", help="the answer with this prediction_id, and its feedback"
    )
    which.add_argument(
        "--customer", metavar="ID", help="questions, lists, feedback and events of one customer"
    )
    parser.add_argument("--json", action="store_true", help="for scripts")


def run(arguments: argparse.Namespace, paths: Paths) -> None:
    from sqlalchemy.exc import SQLAlchemyError

    from pipeline.log import forgetting, prediction_log

    section = parameters.read_one(paths.root / "params.yaml", paths.project)
    selections = _selections(arguments, paths.project)
    log_url = prediction_log.existing(paths)
    shown = prediction_log.shown(log_url)
    try:
        deleted = forgetting.forget(log_url, selections, compact=True)
    except SQLAlchemyError as error:
        raise ServiceError(
            f"The prediction log {shown} could not be changed: {error}. What was deleted by then stays "
            "deleted; run the same command again."
        ) from None
    inbox = 0 if arguments.before else _erased(arguments, section["task"], paths)
    if arguments.json:
        told = {"project": paths.project, "log": shown, "deleted": deleted, "deleted_from_inbox": inbox}
        print(json.dumps(told))
        return
    counts = ", ".join(f"{count:,} of {table}" for table, count in deleted.items())
    print(f"{paths.project}: deleted from {shown}: {counts or 'nothing, the log is empty'}.")
    if inbox:
        print(f"  Deleted from {paths.inbox}: {inbox:,}; `dvc repro` makes the data anew without them.")
    print("  A service that runs remembers events that it has heard until it is started again.")


def _selections(arguments: argparse.Namespace, project: str) -> "list[Selection]":
    from pipeline.log import forgetting

    if arguments.prediction is not None:
        return forgetting.of_prediction(project, arguments.prediction)
    if arguments.customer is not None:
        return forgetting.of_customer(project, arguments.customer)
    return forgetting.older_than(project, _moment(arguments.before))


def _erased(arguments: argparse.Namespace, task: str, paths: Paths) -> int:
    """From the inbox, of what somebody wants deleted; what is old stays there, because it is data now."""
    from pipeline.log import harvesting

    if not paths.inbox.is_dir():
        return 0
    with harvesting.alone(paths) as folder:
        harvest = tasks.module(task, "harvest")
        erased: int = harvest.erase(folder, prediction=arguments.prediction, customer=arguments.customer)
    return erased


def _moment(given: str) -> datetime:
    try:
        if len(given) == len("2026-03-01"):
            moment = datetime.combine(date.fromisoformat(given), time(), UTC)
        else:
            moment = datetime.fromisoformat(given)
            if moment.tzinfo is None:
                raise ValueError("a time needs a time zone")
    except ValueError as error:
        raise ParameterError(f"--before {given}: not a day such as 2026-03-01 ({error}).") from None
    if moment > datetime.now(UTC):
        raise ParameterError(
            f"--before {given}: lies in the future, so everything would be deleted. If you want that, say "
            f"--before {datetime.now(UTC).isoformat(timespec='seconds')}."
        )
    return moment
