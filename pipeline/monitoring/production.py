"""What answers in production, as `monitor` judges it."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipeline.champion import alias_history
from pipeline.core import registry, tracking
from pipeline.core.paths import Paths
from pipeline.core.registry import CHAMPION


@dataclass(frozen=True)
class Production:
    """package: of the network that answers; version: in the registry; since: when it became champion (UTC):
    neither an earlier time of its own counts, nor another model that had its number before the registry was
    wiped. Both None where nothing is registered, since also where nobody recorded it."""

    package: Path
    version: str | None
    since: datetime | None


def find(paths: Paths, folder: Path) -> Production:
    """The champion, put into `folder`; before there is one, the candidate."""
    champion = registry.champion(paths)
    if champion is None:
        return Production(paths.model, None, None)
    package = registry.download(paths, champion, folder)
    history = alias_history.read(tracking.client(paths), paths)
    began = [change.at for change in history.changes if change.alias == CHAMPION and change.new == champion]
    return Production(package, champion.version, datetime.fromisoformat(began[-1]) if began else None)
