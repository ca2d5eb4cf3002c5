"""What the embedded PostgreSQL and Redis promise of one folder, and of several."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from config.embedded import EmbeddedError, Services, address, ensure, stop

PROJECT = Path(__file__).resolve().parents[2]
SECONDS = 30.0


def until(fact: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not fact():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pids(folder: Path) -> list[int]:
    numbers = (folder / "postgres" / "postmaster.pid", folder / "redis" / "redis.pid")
    return [int(number.read_text().splitlines()[0]) for number in numbers]


def remember(services: Services, word: str) -> None:
    with psycopg.connect(services.database_url, autocommit=True) as database:
        database.execute("CREATE TABLE IF NOT EXISTS words (word text)")
        database.execute("INSERT INTO words VALUES (%s)", [word])
    with redis.Redis.from_url(services.redis_url) as memory:
        memory.sadd("words", word)


def remembered(services: Services) -> tuple[set[str], set[str]]:
    with psycopg.connect(services.database_url) as database:
        rows = {word for (word,) in database.execute("SELECT word FROM words")}
    with redis.Redis.from_url(services.redis_url, decode_responses=True) as memory:
        return rows, set(memory.smembers("words"))


def await_append_file(folder: Path, word: str) -> None:
    # Redis writes its file once a second, by design: its contents can be rebuilt.
    home = folder / "redis"
    files = lambda: [path for path in home.rglob("*.aof") if path.is_file()]  # noqa: E731 - Local.
    until(lambda: any(word.encode() in path.read_bytes() for path in files()), "it is written")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "signalbox"
    yield home
    stop(home)


def test_both_answer_and_speak_utf_8_and_utc(folder: Path) -> None:
    with ensure(folder, durable=False) as services:
        remember(services, "žluťoučký")
        assert remembered(services) == ({"žluťoučký"}, {"žluťoučký"})
        with psycopg.connect(services.database_url) as database:
            names = ("TimeZone", "server_encoding", "max_connections", "fsync")
            found = [database.execute(f"SHOW {name}").fetchone() for name in names]
        assert found == [("UTC",), ("UTF8",), ("200",), ("off",)]


def test_what_is_durable_waits_for_the_disk_and_never_evicts(folder: Path) -> None:
    with ensure(folder) as services:
        with psycopg.connect(services.database_url) as database:
            assert database.execute("SHOW fsync").fetchone() == ("on",)
        with redis.Redis.from_url(services.redis_url, decode_responses=True) as memory:
            assert memory.config_get("appendonly", "maxmemory-policy") == {
                "appendonly": "yes",
                "maxmemory-policy": "noeviction",
            }


def test_nobody_enters_without_the_password_which_only_the_owner_reads(folder: Path) -> None:
    with ensure(folder, durable=False) as services:
        password = json.loads((folder / "services.json").read_text())["password"]
        with pytest.raises(psycopg.OperationalError, match="password authentication"):
            psycopg.connect(services.database_url.replace(password, "guessed"))
        with pytest.raises(redis.AuthenticationError):
            redis.Redis.from_url(services.redis_url.replace(password, "guessed")).ping()
        for path in (folder / "services.json", folder / "redis" / "redis.conf"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        commands = [" ".join(psutil.Process(pid).cmdline()) for pid in pids(folder)]
        assert not any(password in command for command in commands)


def test_the_application_is_no_superuser_but_may_create_test_databases(folder: Path) -> None:
    with (
        ensure(folder, durable=False) as services,
        psycopg.connect(services.database_url, autocommit=True) as database,
    ):
        database.execute("CREATE DATABASE test_signalbox")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            database.execute("COPY (SELECT 1) TO PROGRAM 'cat'")


def test_they_listen_on_loopback_or_in_the_file_system_only(folder: Path) -> None:
    with ensure(folder, durable=False):
        for pid in pids(folder):
            listening = [
                one.laddr.ip
                for one in psutil.Process(pid).net_connections("inet")
                if one.status == psutil.CONN_LISTEN
            ]
            assert set(listening) <= {"127.0.0.1"}


def test_a_second_user_shares_and_only_the_last_one_stops_them(folder: Path) -> None:
    first = ensure(folder, durable=False)
    running = pids(folder)
    second = ensure(folder, durable=False)
    assert pids(folder) == running
    assert second.urls == first.urls
    first.leave()
    first.leave()
    remember(second, "still here")
    second.leave()
    assert not any(map(is_alive, running))


def test_data_outlive_a_stop(folder: Path) -> None:
    with ensure(folder) as services:
        remember(services, "kept")
    with ensure(folder) as services:
        assert remembered(services) == ({"kept"}, {"kept"})


def test_data_outlive_kill_9_of_both_servers(folder: Path) -> None:
    with ensure(folder) as services:
        remember(services, "kept")
        await_append_file(folder, "kept")
        killed = pids(folder)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        until(lambda: not any(map(is_alive, killed)), "both are dead")
        with ensure(folder) as again:
            assert remembered(again) == ({"kept"}, {"kept"})
            assert not set(pids(folder)) & set(killed)


def test_a_user_can_revive_what_died_under_it(folder: Path) -> None:
    with ensure(folder, durable=False) as services:
        assert services.revive() == []
        os.kill(pids(folder)[0], signal.SIGKILL)
        until(lambda: not is_alive(pids(folder)[0]), "PostgreSQL is dead")
        assert services.revive() == ["DATABASE_URL"]
        remember(services, "back")


def test_two_folders_run_side_by_side(tmp_path: Path) -> None:
    with (
        ensure(tmp_path / "one", durable=False) as one,
        ensure(tmp_path / "two", durable=False) as two,
    ):
        remember(one, "one")
        remember(two, "two")
        assert remembered(one) == ({"one"}, {"one"})
        assert remembered(two) == ({"two"}, {"two"})


def test_a_folder_too_deep_for_a_socket_uses_a_loopback_port(folder: Path) -> None:
    deep = folder / ("deep" * 40)
    with ensure(deep, durable=False) as services:
        remember(services, "down there")
        assert "127.0.0.1" in services.database_url
    with ensure(deep, durable=False) as services:
        assert remembered(services)[0] == {"down there"}


def test_a_folder_may_have_signs_and_spaces_in_its_name() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="a, 'b' c") as name,
        ensure(Path(name) / "é %20 [x]*?", durable=False) as services,
    ):
        remember(services, "in there")
        assert remembered(services) == ({"in there"}, {"in there"})


def test_a_port_that_someone_took_is_given_up(folder: Path) -> None:
    deep = folder / ("deep" * 40)
    with ensure(deep, durable=False) as services:
        remember(services, "kept")
        kept = address.Address.of(deep)
    with socket.socket() as one, socket.socket() as two:
        for taken, port in ((one, kept.postgres_port), (two, kept.redis_port)):
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", port))
            taken.listen()
        with ensure(deep, durable=False) as services:
            assert remembered(services)[0] == {"kept"}
            assert str(kept.postgres_port) not in services.database_url
            assert str(kept.redis_port) not in services.redis_url


def test_a_number_that_belongs_to_another_process_now_is_no_server(folder: Path) -> None:
    with ensure(folder, durable=False) as services:
        remember(services, "kept")
        lock = (folder / "postgres" / "postmaster.pid").read_text().splitlines()
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        stale = "\n".join([str(stranger.pid), *lock[1:]]) + "\n"
        (folder / "postgres" / "postmaster.pid").write_text(stale)
        (folder / "redis" / "redis.pid").write_text(str(stranger.pid))
        stop(folder)
        assert stranger.poll() is None
        with ensure(folder, durable=False) as services:
            assert remembered(services)[0] == {"kept"}
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_an_interrupted_first_start_begins_anew(folder: Path) -> None:
    (folder / "postgres.partial").mkdir(parents=True)
    (folder / "postgres.partial" / "PG_VERSION").write_text("18\n")
    with ensure(folder, durable=False) as services:
        remember(services, "fresh")


def test_one_kind_can_run_without_the_other(folder: Path) -> None:
    with ensure(folder, durable=False, kinds=["REDIS_URL"]) as services:
        assert list(services.urls) == ["REDIS_URL"]
        assert not (folder / "postgres").exists()


def test_lost_passwords_are_named_as_the_reason(folder: Path) -> None:
    with ensure(folder, durable=False):
        pass
    (folder / "services.json").unlink()
    with pytest.raises(EmbeddedError, match=r"services\.json does not belong"):
        ensure(folder, durable=False)


USER = """
import sys, time
from pathlib import Path
from config.embedded import ensure
services = ensure(Path(sys.argv[1]), durable=False)
print("ready", services.urls, flush=True)
sys.stdin.read()
services.leave()
"""


class User:
    """Another process that uses the services of a folder."""

    def __init__(self, folder: Path, *before: str) -> None:
        self.process = subprocess.Popen(
            [*before, sys.executable, "-c", USER, str(folder)],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def is_ready(self) -> bool:
        assert self.process.stdout
        return self.process.stdout.readline().startswith("ready")

    def end(self) -> None:
        self.process.communicate(timeout=SECONDS)


def test_services_outlive_a_user_that_is_killed_and_end_with_the_next(folder: Path) -> None:
    user = User(folder)
    assert user.is_ready()
    running = pids(folder)
    user.process.kill()
    user.end()
    assert all(map(is_alive, running))
    with ensure(folder, durable=False):
        assert pids(folder) == running
    assert not any(map(is_alive, running))


def test_ctrl_c_in_the_users_terminal_does_not_reach_the_services(folder: Path) -> None:
    user = User(folder)
    assert user.is_ready()
    running = pids(folder)
    with ensure(folder, durable=False) as services:
        os.killpg(user.process.pid, signal.SIGINT)
        user.end()
        assert pids(folder) == running
        remember(services, "undisturbed")


def test_users_that_start_at_once_share_one_pair(folder: Path) -> None:
    users = [User(folder) for _ in range(3)]
    assert all(user.is_ready() for user in users)
    running = pids(folder)
    owned = [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if str(folder / "postgres") in (process.info["cmdline"] or [])
    ]
    assert owned == [running[0]]
    for user in users:
        user.end()
    assert not any(map(is_alive, running))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to give up its power")
def test_as_root_no_folder_is_opened_to_others_and_postgres_has_one_capability(
    folder: Path,
) -> None:
    folder.parent.chmod(0o700)
    with ensure(folder, durable=False) as services:
        remember(services, "behind a closed door")
        assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
        postgres = psutil.Process(pids(folder)[0])
        assert postgres.uids().real != 0
        status = Path(f"/proc/{postgres.pid}/status").read_text()
        assert "CapEff:\t0000000000000004" in status or "CapEff:\t0000000000000002" in status


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_a_user_who_is_not_root_needs_no_root() -> None:
    # The one capability is for this Python, which may lie under /root.
    may_read = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search")
    account = ("--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs")
    nobody = ("setpriv", *account, *may_read, "--securebits=+no_setuid_fixup")
    reach = subprocess.run(
        [*nobody, sys.executable, "-c", "import config.embedded"], cwd=PROJECT, check=False
    )
    if reach.returncode:
        pytest.skip("nobody cannot reach this Python")
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, 65534, 65534)
        folder = Path(name) / "signalbox"
        user = User(folder, *nobody)
        assert user.is_ready()
        assert {psutil.Process(pid).uids().real for pid in pids(folder)} == {65534}
        user.end()
