"""Which services are embedded, and which commands start them."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from config import services
from manage import needs_services

NAMED = {"DATABASE_URL": "postgresql://elsewhere/db", "REDIS_URL": "redis://elsewhere/0"}


def test_with_both_addresses_named_nothing_embedded_starts(tmp_path: Path) -> None:
    environ = {**NAMED, "SIGNALBOX_HOME": str(tmp_path / "home")}
    services.ensure(environ)
    assert not (tmp_path / "home").exists()
    assert services.urls(environ) == (NAMED["DATABASE_URL"], NAMED["REDIS_URL"])


def test_each_address_that_is_missing_is_embedded_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    environ = {"DATABASE_URL": NAMED["DATABASE_URL"], "SIGNALBOX_HOME": str(home)}
    try:
        services.ensure(environ)
        assert environ["DATABASE_URL"] == NAMED["DATABASE_URL"]
        assert environ["REDIS_URL"].startswith("redis://:")
        assert (home / "redis" / "redis.pid").exists()
        assert not (home / "postgres").exists()
    finally:
        services.leave()
    assert not (home / "redis" / "redis.pid").exists()


def test_the_folder_is_the_projects_unless_it_is_named() -> None:
    assert services.home({}) == services.BASE_DIR / ".signalbox"
    assert services.home({"SIGNALBOX_HOME": "elsewhere"}) == Path("elsewhere")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "--version",
        "help migrate",
        "migrate --help",
        "check",
        "makemigrations --check --dry-run",
        "spectacular --validate",
    ],
)
def test_a_command_that_works_on_files_starts_no_services(line: str) -> None:
    assert not needs_services(line.split())


@pytest.mark.parametrize("line", ["up --demo", "migrate", "doctor", "check --database default"])
def test_a_command_that_works_on_rows_starts_them(line: str) -> None:
    assert needs_services(line.split())


def test_a_test_run_that_is_terminated_leaves_no_servers(tmp_path: Path) -> None:
    (tmp_path / "test_long.py").write_text(
        "import pathlib, time\n"
        "def test_long():\n"
        f"    pathlib.Path({str(tmp_path / 'began')!r}).touch()\n"
        "    time.sleep(60)\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-c", "pyproject.toml", str(tmp_path / "test_long.py")],
        cwd=services.BASE_DIR,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "began").exists():
        assert time.monotonic() < deadline, "it never began"
        time.sleep(0.02)
    run.terminate()
    run.wait(30)
    assert not list(tmp_path.glob("signalbox-test-*"))
