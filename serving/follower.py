"""The running service follows the registry: what is champion there answers here, without a restart.

A thread of its own looks every few seconds. A version that is new to it is brought, every checksum met,
loaded beside the model that answers, asked its golden set, and only then takes that one's place, in one
step: a request that has begun keeps the model that it began with, the next one has the new.

A version that is not what it should be is refused, once, and the old one goes on. A registry that does not
answer changes nothing: it is asked again.
"""

import logging
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pipeline.core import golden_set, model_package
from pipeline.core.artifacts import read_json
from pipeline.core.errors import ModelError, TrackingError
from pipeline.core.serve_parameters import Follow
from serving.application import Model
from serving.follower_metrics import follower_metrics
from serving.package_store import PackageStore
from serving.registry_reader import CHALLENGER, CHAMPION, Registered, RegistryReader

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 5.0  # that a load under way is waited for when the service stops
M = TypeVar("M", bound="Replaceable")


class Replaceable(Model, Protocol):
    """A model that another one may take the place of. session: the network."""

    @property
    def session(self) -> golden_set.Session: ...
    def successor(self: M, package: Path, version: str, sha256: str) -> M:
        """Another version, ready to answer, of which clients may be asked the same as of this one.
        ModelError: it is damaged, or cannot take this one's place."""
        ...


class Followed(Protocol):
    """What answers. challenger: as in the registry, None where there is none or none is wanted."""

    model: Any
    challenger: Any


@dataclass(frozen=True)
class Refused:
    """A version that an alias points to and that is not taken, until the alias moves or the service starts
    again. at: UTC, ISO 8601."""

    alias: str
    version: str
    why: str
    at: str


class Follower:
    def __init__(
        self,
        state: Followed,
        reader: RegistryReader,
        store: PackageStore,
        settings: Follow,
        aliases: Sequence[str],
    ) -> None:
        """aliases: CHAMPION, and CHALLENGER where that is to be loaded, too."""
        self._state, self._reader, self._store = state, reader, store
        self._settings, self._aliases = settings, aliases
        self._refused: dict[str, tuple[Registered, Refused]] = {}
        self._trouble: str | None = None
        self._looked = False
        self._first_look = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)

    def start(self) -> None:
        """Waits for the first look to end: a worker that starts again does not answer with an old model. But
        no longer than a registry is waited for that does not answer: then the service starts with the model
        that it has, and the look goes on."""
        self._thread.start()
        seconds = self._settings.timeout_seconds * len(self._aliases)
        if not self._first_look.wait(seconds):
            logger.warning(
                "The registry could not be followed within %g s; version %s answers until it can be.",
                seconds, self._state.model.version,
            )  # fmt: skip

    def close(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_SECONDS)
        self._reader.close()

    def describe(self) -> dict[str, Any]:
        """For /model. reachable: None until the registry was asked for the first time."""
        reachable = self._trouble is None if self._looked else None
        refused = [asdict(refused) for _, refused in list(self._refused.values())]
        return {"registry": {"followed": True, "reachable": reachable}, "refused": refused}

    def look(self) -> bool:
        """Looks at the registry once and takes over what is new. False: an alias was moved meanwhile, so
        look again at once."""
        try:
            found = self._reader.aliases(self._state.model.name, self._aliases)
            self._end_trial(found.get(CHALLENGER))
            settled = [self._try_alias(alias, found.get(alias)) for alias in self._aliases]
        except (TrackingError, OSError) as error:
            self._fails(str(error))
            return True
        except Exception as error:  # whatever goes wrong here, requests are answered
            if not self._fails(repr(error)):
                logger.exception("Following the registry failed.")
            return True
        troubles = [trouble for _, trouble in settled if trouble]
        if troubles:
            self._fails("; ".join(troubles))
            return True
        self._answers()
        return all(is_settled for is_settled, _ in settled)

    def _follow(self) -> None:
        while not self._stopping.is_set():
            is_settled = self.look()
            self._first_look.set()
            if is_settled:
                self._stopping.wait(self._settings.seconds)

    def _end_trial(self, wanted: Registered | None) -> None:
        """Who is challenger no longer is asked no longer, also where nobody else can be loaded. wanted: the
        challenger of now."""
        now = self._state.challenger
        if now is not None and (wanted is None or not _same(now, wanted)):
            self._state.challenger = None

    def _try_alias(self, alias: str, wanted: Registered | None) -> tuple[bool, str]:
        """What _follow_alias returns, and the trouble of this moment that it met: the other alias does not
        wait until that is over."""
        try:
            return self._follow_alias(alias, wanted), ""
        except (TrackingError, OSError, MemoryError) as error:
            return True, str(error) or repr(error)

    def _follow_alias(self, alias: str, wanted: Registered | None) -> bool:
        """False: the alias pointed elsewhere by the time that what it pointed to was loaded."""
        refused = self._refused.get(alias)
        if refused and refused[0] != wanted:
            del self._refused[alias]
        elif refused:
            return True
        now = self._now(alias)
        if wanted is None or (alias == CHALLENGER and _same(self._state.model, wanted)):
            if alias == CHALLENGER and now is not None:
                self._state.challenger = None
            return True  # a registry that lost its champion leaves the service the one that it has
        if now is not None and _same(now, wanted):
            return True
        try:
            new = self._load(wanted)
        except (TrackingError, OSError, MemoryError):  # of this moment, not of the version
            raise
        except Exception as error:
            self._refuse(alias, wanted, error)
            return True
        if self._moved(alias, wanted):
            return False
        if alias == CHAMPION:
            self._state.model = new
        else:
            self._state.challenger = new
        before = "no version" if now is None else f"version {now.version}"
        logger.warning("%s: version %s is %s now, instead of %s.", new.name, new.version, alias, before)
        follower_metrics().swaps.labels(alias).inc()
        in_use = [self._now(one) for one in (CHAMPION, CHALLENGER)]
        self._store.tidy([(one.version, one.sha256) for one in in_use if one is not None])
        return True

    def _now(self, alias: str) -> Any:
        return self._state.model if alias == CHAMPION else self._state.challenger

    def _load(self, wanted: Registered) -> Any:
        with self._store.package(wanted, self._reader) as package:
            new = self._state.model.successor(package, wanted.version, wanted.sha256)
            description = read_json(package / model_package.DESCRIPTION)
            apart = golden_set.difference(package, description, new.session)
        if apart is None:
            if self._settings.golden_set == "required":
                raise ModelError(
                    "its package has no golden set, which serve.follow.golden_set requires. `train` puts one "
                    "into every package; train and register it again."
                )
            logger.warning(
                "%s version %s has no golden set: it was made before there were any. Its checksums, its "
                "shape and a trial run were checked, and nothing else.", wanted.name, wanted.version,
            )  # fmt: skip
        elif apart > self._settings.golden_difference_max:
            raise ModelError(
                f"on its golden set it answers otherwise than when it was made: {apart:.3g} apart, "
                f"{self._settings.golden_difference_max:g} allowed (serve.follow.golden_difference_max)."
            )
        return new

    def _moved(self, alias: str, wanted: Registered) -> bool:
        try:
            return self._reader.aliases(wanted.name, [alias]).get(alias) != wanted
        except TrackingError:  # it pointed here when last heard of
            return False

    def _refuse(self, alias: str, wanted: Registered, error: Exception) -> None:
        told = str(error) if isinstance(error, ModelError) else f"it cannot be loaded: {error!r}"
        why = told.replace(f"{self._store.folder}/", "")
        at = datetime.now(UTC).isoformat(timespec="seconds")
        self._refused[alias] = (wanted, Refused(alias, wanted.version, why, at))
        follower_metrics().refused.labels(alias).inc()
        stays = self._now(alias)
        logger.error(
            "%s: version %s is %s in the registry and is not taken: %s %s",
            wanted.name, wanted.version, alias, told,
            f"Version {stays.version} goes on." if stays is not None else "None is loaded.",
        )  # fmt: skip

    def _fails(self, trouble: str) -> bool:
        """True where it failed before, so that all has been said."""
        before, self._trouble, self._looked = self._trouble, trouble, True
        follower_metrics().failures.inc()
        follower_metrics().reachable.set(0)
        if before is None:
            logger.error("The registry cannot be followed; version %s goes on: %s",
                         self._state.model.version, trouble)  # fmt: skip
        return before is not None

    def _answers(self) -> None:
        before, self._trouble, self._looked = self._trouble, None, True
        follower_metrics().reachable.set(1)
        if before is not None:
            logger.warning("The registry can be followed again.")


def _same(model: Replaceable, wanted: Registered) -> bool:
    return (model.version, model.sha256) == (wanted.version, wanted.sha256)
