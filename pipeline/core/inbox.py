"""data/P/inbox: what production captured of project P, waiting to be collected.

`plan` opens it, so that DVC, which refuses a dependency that is not there, watches it from the first run
on; `collect` reads it; nothing of the pipeline ever removes anything from it. How pictures and events lie in
it says the task (pipeline/tasks/TASK/data/formats/captures.py), for people data/README.md.
"""

from pathlib import Path

from pipeline.core.artifacts import writing_file
from pipeline.core.paths import Paths

ABOUT = "README.md"
TEXT = """What production captured of this project. `collect` reads it; it may be empty and is never emptied
by the pipeline. How pictures and events must lie here: data/README.md of the repository.
"""


def opened(paths: Paths) -> Path:
    """The inbox of the project, made where there is none yet."""
    about = paths.inbox / ABOUT  # DVC warns of an empty folder at every run
    if not about.is_file():
        with writing_file(about) as partial:
            partial.write_text(TEXT)
    return paths.inbox
