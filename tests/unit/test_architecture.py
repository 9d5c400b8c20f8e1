"""Who may import whom, and what dvc.yaml says of it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline import tasks
from pipeline.reporting.verdict import PHASES
from pipeline.training import checkpoints
from tests.imports import ROOT, closure, hooks, imported, service_code, units

STAGES = list(PHASES)
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
LOOK = yaml.safe_load((ROOT / "registry/dvc.yaml").read_text())["stages"]["look"]
# What a stage uses without importing it: `deploy` ships the service, and reads its build file.
SHIPPED = {"deploy": {"bentofile.yaml", *units(service_code())}}
# Folders of pipeline/, and those that each may import beside `core`.
BELOW = {
    "core": (),
    "sources": (),
    "labels": (),
    "training": (),
    "testing": (),
    "champion": (),
    "log": (),
    "reporting": ("testing",),
    "service": ("log",),
    "monitoring": ("champion",),
    "trial": ("champion",),
    "projects": (),
    "relabeling": ("labels",),
    "commands": ("champion", "log", "training", "trial"),
}
SHARED = tuple(
    f"pipeline/{folder}/" for folder in BELOW if folder not in ("sources", "relabeling", "commands")
)


def modules(pattern: str) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern))


def test_stage_module_and_dvc_stage_are_the_same_set() -> None:
    stage_modules = {Path(path).stem for path in modules("pipeline/*.py")} - {"__init__", "cli"}
    assert stage_modules == set(STAGES) == set(DVC)


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_lists_the_sections_that_the_stage_declares(stage: str) -> None:
    listed = [str(p).removeprefix("projects.${key}.") for p in DVC[stage]["do"]["params"]]
    module = __import__(f"pipeline.{stage}", fromlist=["PARAMS"])
    assert listed == ["task", *module.PARAMS]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reads_only_the_sections_it_declares(stage: str) -> None:
    module = __import__(f"pipeline.{stage}", fromlist=["PARAMS"])
    assert stage in module.PARAMS
    assert len(set(module.PARAMS)) == len(module.PARAMS)


@pytest.mark.parametrize("task", tasks.names())
@pytest.mark.parametrize("stage", STAGES)
def test_dvc_lists_the_code_that_the_stage_runs(stage: str, task: str) -> None:
    listed = listed_code(stage, task)
    assert closure(stage, task) | SHIPPED.get(stage, set()) <= listed
    assert [path for path in listed if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_lists_no_code_that_no_task_runs(stage: str) -> None:
    """The list is the same for every task, so one of them may list a folder that only another runs."""
    run = {
        path.replace(f"pipeline/tasks/{task}/", "pipeline/tasks/TASK/")
        for task in tasks.names()
        for path in closure(stage, task)
    }
    assert listed_code(stage, "TASK") - SHIPPED.get(stage, set()) <= run


@pytest.mark.parametrize("task", tasks.names())
def test_an_interrupted_training_is_gone_on_with_by_the_same_code(task: str) -> None:
    """What it is compared by is what `train` runs; pipeline/tasks/__init__.py only finds it."""
    compared = units(str(path.relative_to(ROOT)) for path in checkpoints.code(task))
    assert closure("train", task) - {"pipeline/tasks/__init__.py"} <= compared
    assert not {unit for unit in compared if unit.startswith(("pipeline/reporting", "pipeline/service"))}


def listed_code(stage: str, task: str) -> set[str]:
    deps = [str(dep).replace("${item.task}", task) for dep in DVC[stage]["do"]["deps"]]
    return {dep for dep in deps if dep.startswith(("pipeline", "serving", "bentofile"))}


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_is_described_and_leaves_evidence(stage: str) -> None:
    do = DVC[stage]["do"]
    assert do["desc"]
    assert do["cmd"] == f"python -m pipeline.{stage} ${{key}}"
    assert f"reports/${{key}}/evidence/{stage}.json" in do["outs"]


@pytest.mark.parametrize("stage", ["register", "deploy", "monitor"])
def test_what_reads_the_registry_follows_when_it_was_changed(stage: str) -> None:
    assert LOOK["always_changed"] and LOOK["outs"] == [{"registry/looked": {"cache": False}}]
    assert {"registry/looked", "registry/${key}/aliases.json"} <= set(DVC[stage]["do"]["deps"])


@pytest.mark.parametrize("task", tasks.names())
@pytest.mark.parametrize("stage", STAGES)
def test_every_task_has_the_hooks_that_the_stages_ask_for(stage: str, task: str) -> None:
    for hook in hooks(stage):
        assert (ROOT / "pipeline/tasks" / task / f"{hook}.py").is_file()


def test_every_folder_of_the_pipeline_has_its_place() -> None:
    folders = {path.parent.name for path in (ROOT / "pipeline").glob("*/__init__.py")}
    assert folders == {*BELOW, "tasks"}


@pytest.mark.parametrize("folder", BELOW)
def test_a_folder_imports_core_and_those_below_it(folder: str) -> None:
    # A task is looked up by name; pipeline/tasks/__init__.py is that place.
    allowed = {"pipeline/__init__.py", "pipeline/tasks/__init__.py"}
    below = tuple(f"pipeline/{name}/" for name in (folder, "core", *BELOW[folder]))
    for file in modules(f"pipeline/{folder}/*.py"):
        assert not {f for f in imported(file) - allowed if not f.startswith(below)}, file


@pytest.mark.parametrize("file", [file for file in modules("pipeline/*.py") if file != "pipeline/cli.py"])
def test_stages_import_what_is_shared_and_look_tasks_up_by_name(file: str) -> None:
    assert not {f for f in imported(file) if not f.startswith((*SHARED, "pipeline/__init__.py"))}


@pytest.mark.parametrize("file", modules("pipeline/tasks/**/*.py"))
def test_tasks_import_neither_stages_nor_serving_nor_other_tasks(file: str) -> None:
    own = "/".join(Path(file).parts[:3])
    allowed = (*SHARED, "pipeline/sources/", "pipeline/__init__.py", "pipeline/tasks/__init__.py", own)
    assert not {f for f in imported(file) if not f.startswith(allowed)}


@pytest.mark.parametrize(
    ("folder", "below"),
    [("data", ("data",)), ("learning", ("data", "learning")), ("testing", ("data", "learning", "testing"))],
)
@pytest.mark.parametrize("task", tasks.names())
def test_in_a_task_data_knows_no_networks_and_networks_no_evaluation(
    task: str, folder: str, below: tuple[str, ...]
) -> None:
    inside = f"pipeline/tasks/{task}/"
    for file in modules(f"{inside}{folder}/**/*.py"):
        own = {f.removeprefix(inside) for f in imported(file) if f.startswith(inside)}
        assert not {f for f in own if not f.startswith(below) and not f.endswith("parameters.py")}, file


@pytest.mark.parametrize("file", modules("serving/**/*.py"))
def test_serving_imports_no_stage_and_no_network(file: str) -> None:
    found = imported(file)
    stages = {f"pipeline/{stage}.py" for stage in STAGES}
    assert not found & stages
    assert not {f for f in found if "/learning/" in f}


def test_a_bento_holds_the_code_that_the_services_import_and_no_other() -> None:
    held = yaml.safe_load((ROOT / "bentofile.yaml").read_text())["include"]
    assert {file for pattern in held for file in modules(pattern) if file.endswith(".py")} == service_code()


@pytest.mark.parametrize("file", modules("pipeline/**/*.py") + modules("serving/**/*.py"))
def test_no_code_asks_which_task_or_project_it_is(file: str) -> None:
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            names = {getattr(side, "id", getattr(side, "attr", "")) for side in sides}
            constants = [
                side for side in sides if isinstance(side, ast.Constant) and isinstance(side.value, str)
            ]
            assert not (names & {"task", "project"} and constants), ast.unparse(node)


HEAVY = (
    "torch", "lightning", "captum", "mlflow", "great_expectations", "sklearn", "matplotlib", "bentoml", "onnx"
)  # fmt: skip


@pytest.mark.parametrize("stage", STAGES)
def test_importing_a_stage_and_its_hooks_loads_nothing_heavy(stage: str) -> None:
    names = [f"pipeline.{stage}", *(f"pipeline.tasks.image_classification.{h}" for h in hooks(stage))]
    assert loaded(names, HEAVY) == "[]"


def test_importing_the_command_line_loads_neither_tables_nor_a_server() -> None:
    assert loaded(["pipeline.cli"], (*HEAVY, "pyarrow", "starlette", "uvicorn")) == "[]"


def loaded(names: list[str], of: tuple[str, ...]) -> str:
    """Which modules of `of` a fresh interpreter has loaded when it has imported `names`, as a list."""
    code = f"import sys, {', '.join(names)}; print([m for m in {of!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
