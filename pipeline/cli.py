"""The command line: `fullcycle VERB [PROJECT]`."""

import argparse
import errno
import json
import os
import shutil
import socket
import sys
from pathlib import Path
from types import ModuleType

from pipeline import tasks
from pipeline.commands import champion, forget, transfer
from pipeline.core import moved_store, parameters, quiet
from pipeline.core.artifacts import read_json
from pipeline.core.errors import FullcycleError, ModelError, ParameterError, ServiceError
from pipeline.core.paths import Paths
from pipeline.projects import new_project
from pipeline.relabeling import command as labels_command
from pipeline.reporting import verdict
from pipeline.service import bento

HOST = "127.0.0.1"
# Verbs that some tasks know, as the module of that name in pipeline/tasks/TASK/.
TASK_VERBS = {
    "recommend": "lists for many customers, as of any date",
    "ablate": "what each advance in training brings on the project's own data",
    "harvest": "what the service captured becomes data: data/P/inbox, which `dvc repro` reads",
}


def main() -> None:
    quiet.silence()
    parser = argparse.ArgumentParser(prog="fullcycle", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    show = verbs.add_parser("verdict", help="what the last pass ended in, and what to do next")
    show.add_argument("project", nargs="?", help="a project of params.yaml")
    show.add_argument("--all", action="store_true", help="every project")
    show.add_argument("--json", action="store_true", help="for scripts")
    serve = verbs.add_parser("serve", help="serve the deployed champion")
    serve.add_argument("project", help="a project of params.yaml")
    serve.add_argument("--host", default=HOST, help=f"address to listen on ({HOST})")
    serve.add_argument("--port", type=int, default=3000, help="port to listen on (3000)")
    new = verbs.add_parser("new", help="make a project of your own data: a section of params.yaml")
    new.add_argument("name", help="how the project is to be called")
    shipped = ", ".join(f"with --{maker.OPTION} {maker.LIKE}" for maker in _makers().values())
    new.add_argument("--like", help=f"project whose other values it takes over ({shipped})")
    new.add_argument("--licence", default="own", help="licence of the data (own)")
    data = new.add_mutually_exclusive_group(required=True)
    for maker in _makers().values():
        data.add_argument(f"--{maker.OPTION}", type=Path, help=maker.OPTION_HELP)
    with_arguments = {"new": new}
    for verb, verb_help in TASK_VERBS.items():
        with_arguments[verb] = verbs.add_parser(verb, help=verb_help)
        with_arguments[verb].add_argument("project", help="a project of params.yaml")
    for name, parser_of_verb in with_arguments.items():
        for task in tasks.names():
            if tasks.has(task, name):
                tasks.module(task, name).add_arguments(parser_of_verb)
    labels = verbs.add_parser("labels", help="look at doubtful labels and correct them")
    labels_command.add_arguments(labels)
    fine_tune = verbs.add_parser("transfer", help="does a trained model help where data is scarce?")
    transfer.add_arguments(fine_tune)
    for verb, verb_help in champion.HELP.items():
        champion.add_arguments(verbs.add_parser(verb, help=verb_help), verb)
    forget.add_arguments(verbs.add_parser("forget", help=forget.HELP))
    arguments = parser.parse_args()
    try:
        if arguments.verb == "new":
            make_project(arguments)
        elif arguments.verb in TASK_VERBS:
            run_verb_of_task(arguments)
        elif arguments.verb == "labels":
            labels_command.run(arguments)
        elif arguments.verb == "transfer":
            transfer.run(arguments)
        elif arguments.verb in champion.HELP:
            champion.run(arguments)
        elif arguments.verb == "forget":
            forget.run(arguments, Paths(root=Path.cwd(), project=arguments.project))
        elif arguments.verb == "verdict":
            show_verdicts(_projects(arguments), as_json=arguments.json)
        else:
            serve_champion(arguments.project, arguments.host, arguments.port)
    except FullcycleError as error:
        print(f"fullcycle {arguments.verb}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def make_project(arguments: argparse.Namespace) -> None:
    """Appends a project to params.yaml and says what it was made of, and what to do next."""
    path = Path("params.yaml")
    new_project.refuse_bad_name(path, arguments.name)
    known = parameters.read(path)
    task, maker = next(
        (task, maker) for task, maker in _makers().items() if getattr(arguments, maker.OPTION) is not None
    )
    like = arguments.like or maker.LIKE
    if like not in known:
        raise ParameterError(f"no project {like!r} in params.yaml to be like. There are: {', '.join(known)}.")
    if known[like]["task"] != task:
        raise ParameterError(
            f"--{maker.OPTION} makes a project of the task {task}, but {like!r} is of {known[like]['task']}. "
            "Name another with --like, or copy its section of params.yaml by hand."
        )
    paths = Paths(root=Path.cwd(), project=arguments.name)
    changes, told = maker.changes(arguments, known[like], paths)
    new_project.append(path, arguments.name, like, changes)
    print(f"{arguments.name}: {told[0]}.")
    for line in told[1:]:
        print(f"  {line}")
    print(f"  params.yaml has the project; its goals and resources are those of {like}: look at them.")
    print(f"  Then: dvc repro review@{arguments.name}")


def _makers() -> dict[str, ModuleType]:
    """Of each task that can make a project of a user's data, the module that does."""
    return {task: tasks.module(task, "new") for task in tasks.names() if tasks.has(task, "new")}


def run_verb_of_task(arguments: argparse.Namespace) -> None:
    """Does what the project's task makes of the verb, and prints what it says."""
    known, verb = parameters.read(Path("params.yaml")), arguments.verb
    able = [name for name, section in known.items() if tasks.has(section["task"], verb)]
    if arguments.project not in able:
        what = (
            f"is of the task {known[arguments.project]['task']}"
            if arguments.project in known
            else "is not in params.yaml"
        )
        raise ParameterError(
            f"{arguments.project!r} {what}. `fullcycle {verb}` is for: {', '.join(able) or 'no project'}."
        )
    paths = Paths(root=Path.cwd(), project=arguments.project)
    for line in tasks.module(known[arguments.project]["task"], verb).run(arguments, paths):
        print(line)


def _projects(arguments: argparse.Namespace) -> list[str]:
    path = Path("params.yaml")
    if arguments.all:
        return list(parameters.read(path))
    if arguments.project is None:
        known = ", ".join(parameters.read(path))
        raise ParameterError(
            f"name a project of params.yaml ({known}), or ask for all: fullcycle verdict --all."
        )
    parameters.read_one(path, arguments.project)
    return [arguments.project]


def show_verdicts(projects: list[str], *, as_json: bool) -> None:
    """Prints each project's verdict from the evidence that lies there, also of a pass that stopped."""
    found = {}
    for project in projects:
        paths = Paths(root=Path.cwd(), project=project)
        evidence = verdict.read_evidence(paths, with_review=True)
        found[project] = verdict.decide(evidence)
    if as_json:
        print(json.dumps({project: decided.as_json() for project, decided in found.items()}, indent=2))
        return
    for project, decided in found.items():
        print(f"\n{project}: {decided.sentence}")
        report = Path("reports") / project / "index.html"
        if report.is_file():
            print(f"  report       {report}")
        print("  experiments  make ui")
        if decided.outcome == "deployed":
            print(f"  service      make serve PROJECT={project}")


def serve_champion(project: str, host: str, port: int) -> None:
    """Replaces this process by `bentoml serve` of what `deploy` built."""
    paths = Paths(root=Path.cwd(), project=project)
    receipt = paths.reports / "deployment.json"
    tag = read_json(receipt)["bento_tag"] if receipt.is_file() else None
    if tag is None:
        parameters.read_one(paths.root / "params.yaml", project)
        raise ModelError(f"{project} has not been deployed. Run `dvc repro deploy@{project}` first.")
    if not 0 < port < 65536:
        raise ParameterError(f"--port {port}: a port is a number from 1 to 65535.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                other = port + 1 if 1024 <= port < 65535 else 3000
                remedy = f"Stop what uses it, or choose another: fullcycle serve {project} --port {other}."
            else:
                remedy = (
                    "This machine has no such address. --host takes one that it has, 0.0.0.0 is all of them."
                )
            raise ServiceError(f"{host}:{port} cannot be listened on ({error.strerror}). {remedy}") from None
    if not bento.is_stored(tag):
        raise ModelError(
            f"{tag}, which was deployed, is not in the Bento store {bento.home()}: it was removed there, or "
            f"BENTOML_HOME names another. `dvc repro --force deploy@{project}` builds it again."
        )
    command = shutil.which("bentoml", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if command is None:
        raise ServiceError("bentoml is not installed here. Run `make run`, or pip install bentoml.")
    moved_store.follow(paths)
    print(f"{tag} on http://{host}:{port}", flush=True)
    os.execv(command, [command, "serve", tag, "--host", host, "--port", str(port)])
