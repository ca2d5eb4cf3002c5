"""From the Bash of a run on a real worker, nothing of the server can be reached."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from django.conf import settings as ours
from django.db import connection

from agents.activity import SYSTEM
from agents.runtime.tools import launch
from boards.actions.approvals import ApprovalRequest, ask_approval
from boards.models import Approval, ApprovalStatus, Board
from config.asgi import application
from executions.models import Execution, Status, ToolCall, Worktree
from executions.worktrees import places
from tests.agents.rest.serving import serving
from tests.executions import reaching
from tests.executions.repositories import a_repository
from tests.factories import API
from tests.processes import ROOT, WorkerProcess, ended, wait_until, worker
from tests.starting import a_board, a_run, an_agent, an_organization, tool

pytestmark = pytest.mark.django_db(transaction=True)

_PROGRAMS = ("/usr/local/bin", "/usr/bin", "/bin")


@pytest.fixture
def board(tmp_path: Path) -> Board:
    script = Path(reaching.__file__).read_text()
    repository = a_repository(tmp_path / "repository", {"reaching.py": script})
    return a_board(an_organization(), repository=str(repository))


@pytest.fixture(params=["bwrap", "landlock"])
def search_path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What a worker is given for PATH so that it confines commands this way."""
    if request.param == "bwrap":
        return os.environ["PATH"] if shutil.which("bwrap") else pytest.skip("there is no bwrap")
    if launch.landlock_abi() < launch.SCOPES_SINCE_ABI:
        pytest.skip("this kernel has no Landlock that is new enough")
    programs = tmp_path / "programs"
    programs.mkdir()
    for folder in map(Path, _PROGRAMS):
        for program in folder.iterdir() if folder.is_dir() else ():
            if program.name != "bwrap" and not (programs / program.name).is_symlink():
                (programs / program.name).symlink_to(program)
    return str(programs)


@contextmanager
def _listening() -> Iterator[str]:
    """The name of an abstract socket that answers whoever connects."""
    name = f"signalbox-{uuid4().hex}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen()

        def answer() -> None:
            try:
                while True:
                    caller, _ = server.accept()
                    caller.sendall(caller.recv(5))
                    caller.close()
            except OSError:
                return

        threading.Thread(target=answer, daemon=True).start()
        yield name
        server.shutdown(socket.SHUT_RDWR)


def _known(board: Board, other: Execution, process: WorkerProcess, shared: Path) -> Any:
    """What somebody would know who has seen the source and the machine."""
    home = Path(os.environ["SIGNALBOX_HOME"])
    secret = home / f"secret-{uuid4().hex}"
    secret.write_text("the key of something")
    theirs = Path(Worktree.objects.get(execution=other).path)
    settings = connection.settings_dict
    database, cache = urlsplit(os.environ["DATABASE_URL"]), urlsplit(ours.REDIS_URL)
    port = database.port or 5432
    folder = parse_qs(database.query).get("host", [""])[0]
    return {
        "worker": process.pid,
        "variables": ["DATABASE_URL", "REDIS_URL", "SIGNALBOX_HOME", "SECRET_KEY", "SOME_API_KEY"],
        "in_environment": "sk-of-the-worker",
        "files": {
            "settings": str(ROOT / "config/settings.py"),
            "a secret": str(secret),
            "the log": str(process.log),
            "another worktree": str(theirs / "reaching.py"),
            "its private git": str(places.private_of(theirs) / "HEAD"),
            "its note": str(places.parts_of(theirs)[2]),
            "the repository's configuration": f"{board.repository}/.git/config",
            "the repository's checkout": f"{board.repository}/reaching.py",
            "passwords": "/etc/shadow",
        },
        "folders": {
            "signalbox": (str(home), [secret.name]),
            "worktrees": (str(places.worktrees()), [str(other.id)]),
            "the project": (str(ROOT), ["manage.py"]),
            "home": (str(Path.home()), os.listdir(Path.home())),
            "shared memory": (str(shared.parent), [shared.name]),
        },
        # The embedded one has a socket in a folder of its own, and no port.
        "postgres": [database.hostname, port] if database.hostname else f"{folder}/.s.PGSQL.{port}",
        "user": database.username,
        "database": settings["NAME"],
        "redis": [cache.hostname, cache.port],
    }


@pytest.fixture
def shared() -> Iterator[Path]:
    """A file in memory that processes share."""
    file = Path("/dev/shm", f"signalbox-{uuid4().hex}")  # noqa: S108 - that is what is tried.
    file.touch()
    yield file
    file.unlink()


@pytest.fixture
def approval(board: Board) -> Approval:
    wanted = ApprovalRequest(action_type="deploy", reason="It is Friday.", payload={})
    return ask_approval(board, wanted, by=SYSTEM)


def test_nothing_of_the_server_is_reached(
    board: Board,
    approval: Approval,
    shared: Path,
    search_path: str,
    tmp_path: Path,
    settings: Any,
) -> None:
    work = tmp_path / "work"
    settings.SIGNALBOX_WORK_DIR = work
    extra = {
        "SIGNALBOX_WORK_DIR": str(work),
        "PATH": search_path,
        "SOME_API_KEY": "sk-of-the-worker",
    }
    agent = an_agent(board.organization)
    with (
        serving(application) as (host, port),
        _listening() as abstract,
        worker(**extra) as process,
    ):
        other = a_run(agent, tool("Bash", command="ls"), {"say": "x"}, board=board)
        wait_until(lambda: ended(other))
        known = _known(board, other, process, shared) | {"abstract": abstract}
        root = f"http://{host}:{port}{API}"
        known["approval"] = f"{root}/boards/{board.id}/approvals/{approval.id}"
        known["start"] = f"{root}/agents/{agent.slug}/executions"
        told = json.dumps(known)
        run = a_run(
            agent,
            tool("Write", path="known.json", content=told),
            tool("Bash", command="python3 reaching.py known.json"),
            {"say": "x"},
            board=board,
        )
        wait_until(lambda: ended(run))
        tried = ToolCall.objects.get(execution=run, name="Bash").output
        (tmp_path / "known.json").write_text(told)
        reached = subprocess.run(
            [sys.executable, reaching.__file__, str(tmp_path / "known.json")],
            capture_output=True, text=True, check=True, env={"SOME_API_KEY": "x"},
        ).stdout  # fmt: skip
        assert process.process.poll() is None
    run.refresh_from_db()
    assert run.status == Status.COMPLETED
    names = {line.split(" ", 1)[1] for line in reached.splitlines() if line[:4] in ("reac", "clos")}
    found = {line for line in tried.splitlines() if line.startswith("reached")}
    assert found == set(), tried
    assert tried.count("closed ") == len(names), tried
    assert tried.count("status 401") == 3
    # What is closed is there: without confinement all is reached, but for what asks for a
    # password or a credential, and that is the last wall.
    still_closed = {
        line.split(" (")[0] for line in reached.splitlines() if line.startswith("closed")
    }
    walls = {"approve", "read the approval", "start", "postgres", "redis"}
    assert still_closed == {f"closed {name}" for name in walls}, reached
    approval.refresh_from_db()
    assert approval.status == ApprovalStatus.PENDING
