"""What `make run` shows is made once and whole, whatever broke off before, on any machine."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from rich.console import Console

from agents.models import User
from boards.models import Task, TaskStatus
from executions.demonstration import set_up
from tests.processes import worker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, settings: Any) -> None:
    settings.SIGNALBOX_HOME = tmp_path / "home"


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    out = StringIO()
    monkeypatch.setattr(
        "executions.management.commands.demo.Console", lambda: Console(file=out, width=200)
    )
    return out


def commits(repository: str) -> list[str]:
    command = ["git", "-C", repository, "log", "--format=%s", "main"]
    return subprocess.check_output(command, text=True).splitlines()


def test_a_user_whose_git_signs_each_commit_sees_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".gitconfig").write_text("[commit]\ngpgSign = true\n[gpg]\nprogram = false\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert commits(set_up().board.repository) == ["Greet people"]


def test_what_broke_off_before_the_first_commit_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = tmp_path / "bin" / "git"
    git.parent.mkdir()
    git.write_text(f'#!/bin/sh\ncase "$*" in *commit*) exit 1;; esac\nexec {which("git")} "$@"\n')
    git.chmod(0o755)
    with monkeypatch.context() as before:
        before.setenv("PATH", f"{git.parent}:{os.environ['PATH']}")
        with pytest.raises(Exception, match="commit"):
            set_up()
    shown = set_up()
    assert commits(shown.board.repository) == ["Greet people"]
    assert shown.password


def test_two_at_once_make_one() -> None:
    def make() -> tuple[object, str]:
        try:
            shown = set_up()
            return shown.agent.pk, shown.password
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        made = [each.result() for each in [pool.submit(make), pool.submit(make)]]
    assert made[0][0] == made[1][0]
    assert sorted(bool(password) for _, password in made) == [False, True]


def test_the_password_is_told_once_and_after_that_how_to_make_another(screen: StringIO) -> None:
    with worker():
        for _ in range(2):
            call_command("demo")
    first, second = screen.getvalue().split("See it at")[1:]
    user = User.objects.get(username="operator")
    (password,) = re.findall(r"Sign in as operator with (\S+) \(shown this once", first)
    assert user.check_password(password)
    assert "Sign in as operator;" in second
    assert "manage.py changepassword operator" in second
    assert password not in second


def test_a_task_is_allowed_extended_rejected_and_merged_each_time(screen: StringIO) -> None:
    with worker():
        for _ in range(2):
            call_command("demo")
    shown = set_up()
    assert Task.objects.filter(board=shown.board, status=TaskStatus.DONE).count() == 2
    told = screen.getvalue()
    for said in (
        "approves Bash: rm greeting.py.orig",
        "extends its turn limit",
        "rejects: Say in README.md how the test is run.",
        "approves, which merges the work",
    ):
        assert told.count(f"operator {said}") == 2
    for said in (
        "warned: 5 of 7 turns are used",
        "Refused: 127.0.0.1 is not a public address.",
        "pushing is left to people",
    ):
        assert told.count(said) == 2
    assert "Helo" not in (Path(shown.board.repository) / "greeting.py").read_text()
    assert commits(shown.board.repository).count("The greeting is misspelt") == 2
