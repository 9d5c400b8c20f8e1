"""A PostgreSQL server of its own for the tests, on a free port of 127.0.0.1, in a temporary folder."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from pipeline.log import prediction_log as tables
from pipeline.service.service_process import HOST, free_port

USER = "fullcycle"


def binaries() -> Path | None:
    """The folder of initdb and postgres: on the PATH, or where Debian puts the newest."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((file.parent for file in versions), key=lambda file: float(file.parent.name), default=None)


def missing() -> str | None:
    """Why there can be no server here; None where there can."""
    if binaries() is None:
        return "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    if os.getuid() == 0 and _other_user() is None:
        return "PostgreSQL does not run as root, and there is no user `postgres` or `nobody`"
    return None


def _other_user() -> str | None:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


class Server:
    def __init__(self) -> None:
        folder = binaries()
        assert folder is not None, "look at missing() first"
        self.binaries = folder
        self.user = _other_user() if os.getuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="fullcycle-postgresql-"))
        self.port = free_port()
        if self.user is not None:
            shutil.chown(self.folder, self.user)
        self.process: subprocess.Popen[bytes] | None = None
        options = ["--username", USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync"]
        self._run("initdb", "--pgdata", "data", *options)
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://{USER}@{HOST}:{self.port}/postgres"

    def emptied(self) -> str:
        """The URL of its database, in which nothing was ever logged."""
        engine = tables.engine(self.url)
        tables.metadata.drop_all(engine)
        engine.dispose()
        return self.url

    def database(self, name: str) -> str:
        """The URL of a new database."""
        engine = tables.engine(self.url)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        engine.dispose()
        return self.url.removesuffix("postgres") + name

    def start(self) -> None:
        # What the server wrote outlives a kill without fsync; only the machine's end would need it.
        options = ["-h", HOST, "-p", str(self.port), "-k", "", "-c", "fsync=off"]
        command = [str(self.binaries / "postgres"), "-D", "data", *options]
        with (self.folder / "server.log").open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=self.folder, user=self.user, stdout=output, stderr=output, start_new_session=True
            )
        self._run("pg_isready", "-h", HOST, "-p", str(self.port), "-t", "0", tries=200)

    def stop(self) -> None:
        """An orderly end that breaks off what clients do."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        self._ended()

    def kill(self) -> None:
        """kill -9, of the server and of all its processes, as when the machine's power fails."""
        assert self.process is not None
        server = psutil.Process(self.process.pid)
        for process in (server, *server.children(recursive=True)):
            process.kill()
        self._ended()

    def remove(self) -> None:
        if self.process is not None:
            self.kill()
        shutil.rmtree(self.folder)

    def _ended(self) -> None:
        assert self.process is not None
        self.process.wait(30)
        self.process = None

    def _run(self, program: str, *arguments: str, tries: int = 1) -> None:
        command = [str(self.binaries / program), *arguments]
        for _ in range(tries):
            done = subprocess.run(command, cwd=self.folder, user=self.user, capture_output=True, text=True)
            if done.returncode == 0:
                return
            time.sleep(0.05)
        raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")
