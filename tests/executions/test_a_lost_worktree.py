"""A worktree that is lost while its execution stands still: it goes on from the kept tree."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agents.activity import SYSTEM
from agents.models import Role
from agents.runtime.facts import Role as Speaker
from agents.runtime.kinds import agent_kind
from agents.runtime.react import react
from boards.models import Approval, Board
from executions import actions
from executions.configuration import Wish
from executions.models import Execution, Status, ToolCall, Worktree, WorktreeStatus
from executions.worktrees import places
from tests.executions.carrying import drive
from tests.executions.repositories import a_repository, files_of, git, is_untouched
from tests.factories import API, client_of
from tests.starting import a_board, an_agent, an_organization, script, tool

pytestmark = pytest.mark.django_db(transaction=True)

_BEGIN = tool("Bash", command="echo one > a.txt; mkdir d; echo kept > d/b; chmod +x d/b; rm README")
_GO_ON = tool("Bash", command="cat a.txt; test -x d/b && cat d/b; ls; echo two >> a.txt")
_DONE = {"say": "Done."}


_ASKING = script(_BEGIN, {"say": "I have begun."}, _GO_ON, _DONE)


@agent_kind("t.asks-between")
def _asks_between(context: Any) -> Any:
    react(context)
    decision = context.ask_approval("may-i", action_type="go_on", reason="It is begun.")
    context.append_entry("go", f"It is {decision.status}: go on.", role=Speaker.USER)
    return react(context)


@pytest.fixture(autouse=True)
def work(tmp_path: Path, settings: Any) -> Path:
    settings.SIGNALBOX_WORK_DIR = tmp_path / "work"
    # Nobody renews it here, and a busy machine takes its time.
    settings.EXECUTION_LEASE = timedelta(seconds=60)
    return tmp_path / "work"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return a_repository(tmp_path / "repository")


@pytest.fixture
def board(repository: Path) -> Board:
    return a_board(an_organization(), repository=str(repository), setup_command="echo up > .up")


def _parts(run: Execution) -> tuple[Path, Path, Path]:
    return places.parts_of(Path(Worktree.objects.get(execution=run).path))


def _lose_the_directory(run: Execution, repository: Path) -> None:
    shutil.rmtree(_parts(run)[0])


def _lose_the_private_git(run: Execution, repository: Path) -> None:
    shutil.rmtree(_parts(run)[1])


def _lose_the_note(run: Execution, repository: Path) -> None:
    _parts(run)[2].unlink()


def _lose_all_three(run: Execution, repository: Path) -> None:
    directory, private, note = _parts(run)
    shutil.rmtree(directory)
    shutil.rmtree(private)
    note.unlink()


def _lose_the_disk(run: Execution, repository: Path) -> None:
    shutil.rmtree(places.worktrees().parent)


def _lose_the_host(run: Execution, repository: Path) -> None:
    """Another host has its directory; it shares the repository, and nothing else, with this one."""
    Worktree.objects.filter(execution=run).update(host="elsewhere")


def _lose_the_repositorys_record(run: Execution, repository: Path) -> None:
    shutil.rmtree(repository / ".git/worktrees")


def _lose_both_sides(run: Execution, repository: Path) -> None:
    _lose_all_three(run, repository)
    _lose_the_repositorys_record(run, repository)


def _let_a_person_prune(run: Execution, repository: Path) -> None:
    _lose_the_directory(run, repository)
    git(repository, "worktree", "prune", "--expire=now")
    git(repository, "gc", "--quiet", "--prune=now")


Loss = Callable[[Execution, Path], None]
LOSSES: list[Loss] = [
    _lose_the_directory, _lose_the_private_git, _lose_the_note, _lose_all_three, _lose_the_disk,
    _lose_the_host, _lose_the_repositorys_record, _lose_both_sides, _let_a_person_prune,
]  # fmt: skip


def _approve(board: Board) -> None:
    approval = Approval.objects.get(board=board)
    decided = client_of(board.organization, Role.OPERATOR).patch(
        f"{API}/boards/{board.id}/approvals/{approval.id}", {"status": "approved"}
    )
    assert decided.status_code == 200, decided.json()


def _came_to_its_end(run: Execution, repository: Path) -> None:
    """The run found the files as it had left them, and ended with all that it did."""
    assert (run.status, run.output) == (Status.COMPLETED, "Done."), run.failure_message
    last = ToolCall.objects.filter(execution=run).latest("turn")
    assert last.output == "one\nkept\na.txt\nd\n[exit code 0]"
    assert run.diff is not None
    changed = [(file["path"], file["status"]) for file in run.diff["files"]]
    assert changed == [
        (".up", "added"), ("README", "deleted"), ("a.txt", "added"), ("d/b", "added"),
    ]  # fmt: skip
    branch = run.diff["branch"]
    assert git(repository, "show", f"{branch}:a.txt") == "one\ntwo"
    assert "100755 d/b" in files_of(repository, branch)
    row = Worktree.objects.get(execution=run)
    assert (row.status, row.host) == (WorktreeStatus.ACTIVE, places.host())
    assert Path(row.path).is_dir()
    assert is_untouched(repository)


@pytest.mark.parametrize("lose", LOSSES)
def test_a_run_that_waits_for_an_approval_goes_on(
    board: Board, repository: Path, lose: Loss
) -> None:
    agent = an_agent(board.organization, kind="t.asks-between")
    run = actions.start(agent, Wish(prompt=_ASKING, board=board), by=SYSTEM)
    drive(run)
    assert run.status == Status.WAITING
    assert run.tree
    lose(run, repository)
    _approve(board)
    drive(run)
    _came_to_its_end(run, repository)


@pytest.mark.parametrize("lose", LOSSES)
def test_a_run_that_is_paused_goes_on(board: Board, repository: Path, lose: Loss) -> None:
    agent = an_agent(board.organization, max_turns=1)
    run = actions.start(agent, Wish(prompt=script(_BEGIN, _GO_ON, _DONE), board=board), by=SYSTEM)
    drive(run)
    assert run.status == Status.PAUSED
    lose(run, repository)
    actions.extend(run, turns=5, by=SYSTEM)
    drive(run)
    _came_to_its_end(run, repository)


def test_the_same_host_goes_on_in_the_same_directory_where_nothing_is_lost(
    board: Board, repository: Path
) -> None:
    agent = an_agent(board.organization, kind="t.asks-between")
    run = actions.start(agent, Wish(prompt=_ASKING, board=board), by=SYSTEM)
    drive(run)
    before = Worktree.objects.get(execution=run).path
    _approve(board)
    drive(run)
    _came_to_its_end(run, repository)
    assert Worktree.objects.get(execution=run).path == before
