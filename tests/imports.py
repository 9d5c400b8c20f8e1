"""What code a stage runs, found by reading imports (also those inside functions).

Used to hold dvc.yaml to the code: DVC follows no imports itself.
"""

import ast
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Packages whose modules are looked up by name at run time: all of the folder counts.
LOOKED_UP_BY_NAME = ("sources", "formats", "networks", "shallow")
# Folders of a task that dvc.yaml lists whole, as it does those beside pipeline/tasks.
LISTED_WHOLE = ("data", "learning", "testing")


def closure(stage: str, task: str) -> set[str]:
    """Files, and folders that count whole, that a stage runs; relative to the repository's root."""
    todo = {f"pipeline/{stage}.py", f"pipeline/tasks/{task}/parameters.py"}
    todo |= {f"pipeline/tasks/{task}/{hook}.py" for hook in hooks(stage)}
    done: set[str] = set()
    while todo:
        file = todo.pop()
        done.add(file)
        todo |= imported(file) - done
    return units(done)


def service_code() -> set[str]:
    """Files that the services import, with the packages that they lie in."""
    done, todo = set[str](), {str(path.relative_to(ROOT)) for path in (ROOT / "serving").glob("*.py")}
    while todo:
        file = todo.pop()
        done.add(file)
        packages = {str(folder / "__init__.py") for folder in Path(file).parents}
        todo |= {each for each in {*imported(file), *packages} - done if (ROOT / each).is_file()}
    return done


def units(files: Iterable[str]) -> set[str]:
    """What dvc.yaml lists of some files: folders that count whole, and other files."""
    packages = (
        "pipeline/__init__.py",
        *(str(p.relative_to(ROOT)) for p in (ROOT / "pipeline/tasks").glob("*/__init__.py")),
    )
    return {_unit(file) for file in files}.difference(packages)


def hooks(stage: str) -> set[str]:
    """Names of the task's modules that a stage asks for with `context.hook(...)`."""
    found = set()
    for node in ast.walk(_tree(f"pipeline/{stage}.py")):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "hook":
            argument = node.args[0] if node.args else ast.Constant(stage)
            assert isinstance(argument, ast.Constant), f"{stage}: a hook's name must be written out"
            found.add(str(argument.value))
    return found


def imported(file: str) -> set[str]:
    """Modules of this repository that a file imports, as files; type-checking imports do not run."""
    skipped = {
        id(inner)
        for node in ast.walk(_tree(file))
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(_tree(file)):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {_file(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(_file(node.module))
            found |= {_file(f"{node.module}.{alias.name}") for alias in node.names}
    for unit in {str(Path(f).parent) for f in found if f and Path(f).parent.name in LOOKED_UP_BY_NAME}:
        found |= {str(path.relative_to(ROOT)) for path in (ROOT / unit).glob("*.py")}
    return {f for f in found if f}


def _unit(file: str) -> str:
    top, *below = Path(file).parts
    if top == "serving":
        return top
    if len(below) > 1 and below[0] != "tasks":
        return f"{top}/{below[0]}"
    for folder in Path(file).parents:
        if folder.name in LISTED_WHOLE:
            return str(folder)
    return file


def _file(module: str) -> str:
    """The file of a module of this repository, "" for others."""
    base = ROOT / module.replace(".", "/")
    if not module.startswith(("pipeline", "serving")):
        return ""
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return str(path.relative_to(ROOT))
    return ""


@cache
def _tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text())
