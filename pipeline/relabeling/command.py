"""`fullcycle labels export | import | review`: from the queue of doubtful labels to labels/P.csv."""

import argparse
import json
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline import tasks
from pipeline.core import parameters
from pipeline.core.errors import ParameterError, ServiceError
from pipeline.core.paths import Paths
from pipeline.relabeling import export, importing, labelled
from pipeline.relabeling.labelled import Queue
from pipeline.relabeling.reviewing import Review

HOST, PORT, PORT_MAX = "127.0.0.1", 3001, 65535
UNSIGNED = "unknown"


@dataclass(frozen=True)
class Project:
    """pictures: reads the collected images, and gives the function from item_id to PNG."""

    paths: Paths
    classes: tuple[str, ...]
    pictures: Callable[[Paths], Callable[[str], bytes]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    out = actions.add_parser("export", help="write the queue as a file to work on elsewhere")
    back = actions.add_parser("import", help="put what people decided into labels/P.csv")
    page = actions.add_parser("review", help="a local page to decide label by label, with the keyboard")
    for action in (out, back, page):
        action.add_argument("project", help="a project of params.yaml")
    out.add_argument("--format", choices=[*export.SUFFIX], default="label-studio",
                     help="(label-studio)")  # fmt: skip
    out.add_argument("--out", type=Path, metavar="FILE", help="(data/P/relabel.json or .csv)")
    back.add_argument("file", type=Path, metavar="FILE",
                      help=".json: Label Studio's export; .csv: item_id,label[,by]")  # fmt: skip
    page.add_argument("--port", type=int, default=PORT, help=f"port to listen on ({PORT})")
    for action in (out, page):
        action.add_argument("--count", type=int, metavar="N", help="only the N worst (all)")
    back.add_argument("--by", metavar="NAME", help="who decided (who the file says, else git's user)")
    page.add_argument("--by", metavar="NAME", help="who decides (git's user)")
    for action in (out, back):
        action.add_argument("--json", action="store_true", help="for scripts")


def run(arguments: argparse.Namespace) -> None:
    project = _open(arguments.project)
    if arguments.action == "export":
        export_queue(project, arguments)
    elif arguments.action == "import":
        import_labels(project, arguments)
    else:
        review_queue(project, arguments)


def export_queue(project: Project, arguments: argparse.Namespace) -> None:
    paths = project.paths
    _refuse_bad_count(arguments.count)
    queue = labelled.read_queue(paths, project.classes)
    doubts = queue.waiting[: arguments.count]
    out, config = arguments.out or paths.data / f"relabel{export.SUFFIX[arguments.format]}", None
    if doubts and arguments.format == "csv":
        export.write_csv(out, doubts)
    elif doubts:
        config = export.write_label_studio(
            out, doubts, project.classes, project.pictures(paths), labelled.queue_file(paths)
        )
    if arguments.json:
        files = {"file": str(out) if doubts else None, "config": str(config) if config else None}
        print(json.dumps({"items": len(doubts), "decided": queue.decided} | files, indent=2))
        return
    if not doubts:
        _print_nothing_waits(paths, queue)
        return
    print(f"{len(doubts):,} labels to look at in {_shown(out)}; {queue.decided:,} of the queue are decided")
    if config is None:
        print("  add a column `label` with the right class, and `by` if several people do it")
    else:
        print(f"  Label Studio: make a project with the labeling config {_shown(config)},")
        print("  import the tasks, decide, export as JSON")
    print(f"  Then: fullcycle labels import {paths.project} FILE")


def import_labels(project: Project, arguments: argparse.Namespace) -> None:
    paths = project.paths
    by = _by(arguments.by)
    found = importing.run(arguments.file, paths, project.classes, by, unsigned=_git_user())
    if arguments.json:
        print(json.dumps(found.as_json() | {"file": str(paths.corrections)}, indent=2))
        return
    print(
        f"{_shown(paths.corrections)}: {found.new:,} new, {found.changed:,} changed, "
        f"{found.confirmed:,} confirmed, {found.unchanged:,} unchanged"
    )
    if found.skipped:
        print(f"  {found.skipped:,} answers were skipped or empty")
    if found.disagreements:
        some = ", ".join(found.disagreements[:5]) + (", …" if len(found.disagreements) > 5 else "")
        print(f"  {len(found.disagreements):,} without a majority, left out: {some}")
    _print_next(paths)


def review_queue(project: Project, arguments: argparse.Namespace) -> None:
    paths = project.paths
    _refuse_bad_count(arguments.count)
    by = _by(arguments.by) or _git_user()
    queue = labelled.read_queue(paths, project.classes)
    doubts = queue.waiting[: arguments.count]
    if not doubts:
        _print_nothing_waits(paths, queue)
        return
    picture = project.pictures(paths)
    review = Review(paths, project.classes, doubts, by)
    listening = _listen(arguments.port, paths.project)
    host, port = listening.getsockname()
    print(f"{len(doubts):,} labels to look at on http://{host}:{port}; Ctrl-C ends", flush=True)
    try:
        with suppress(KeyboardInterrupt):  # uvicorn raises it again when it has shut down
            _serve(review, picture, listening)
    finally:
        print(f"\n{review.decided():,} of {len(doubts):,} decided, in {_shown(paths.corrections)}")
        _print_next(paths)


def _serve(review: Review, picture: Callable[[str], bytes], listening: socket.socket) -> None:
    import uvicorn

    from pipeline.relabeling.application import application

    config = uvicorn.Config(application(review, picture), log_level="warning", lifespan="off")
    uvicorn.Server(config).run(sockets=[listening])


def _listen(port: int, project: str) -> socket.socket:
    """A socket that listens already, so that nobody takes the port before the server does."""
    if not 0 <= port <= PORT_MAX:
        raise ParameterError(f"--port must be from 0 to {PORT_MAX}, given {port}.")
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise ServiceError(
            f"{HOST}:{port} cannot be listened on ({error.strerror}). Stop what uses it, or choose another: "
            f"fullcycle labels review {project} --port {port % PORT_MAX + 1}."
        ) from None


def _open(name: str) -> Project:
    """ParameterError where the project is not known, or no person gives its labels."""
    path = Path("params.yaml")
    params = parameters.load(path, name)
    if not tasks.has(params.task, "relabel"):
        able = [
            key for key, section in parameters.read(path).items() if tasks.has(section["task"], "relabel")
        ]
        raise ParameterError(
            f"{name!r} is of the task {params.task}: its label is derived from the data, no person gave it; "
            f"there is none to correct. Projects with labels to correct: {', '.join(able) or 'none'}."
        )
    hook = tasks.module(params.task, "relabel")
    return Project(Paths(root=Path.cwd(), project=name), hook.classes(params), hook.pictures)


def _refuse_bad_count(count: int | None) -> None:
    if count is not None and count < 1:
        raise ParameterError(f"--count must be 1 or more, given {count}.")


def _by(given: str | None) -> str | None:
    """The name in one line, as it stands in a table."""
    if given is None:
        return None
    name = " ".join(given.split())
    if not name:
        raise ParameterError("--by must say a name; it was empty.")
    return name


def _git_user() -> str:
    try:
        told = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, check=False)
    except OSError:
        return UNSIGNED
    return " ".join(told.stdout.split()) or UNSIGNED


def _print_nothing_waits(paths: Paths, queue: Queue) -> None:
    print(f"{paths.project}: no label waits for a decision; {queue.decided:,} of the queue are decided")


def _print_next(paths: Paths) -> None:
    folder = _shown(paths.corrections.parent)
    print(f"  look at it   git add -N {folder} && git diff {folder}")
    print("  apply it     dvc repro")


def _shown(path: Path) -> Path:
    """From this folder, where it lies below it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
