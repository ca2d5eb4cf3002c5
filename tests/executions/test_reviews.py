"""A person decides on work: approved it is merged once, rejected it goes on with the reason."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.messages import get_messages
from django.db import connection, transaction
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from agents.activity import SYSTEM, Actor
from agents.models import Activity, ActorKind, Agent, Role, Scope, User
from boards.actions import (
    ApprovalRequest,
    ask_approval,
    change_task,
    decide_approval,
    delete_task,
    withdraw_approval,
)
from boards.actions.approvals import AlreadyDecided
from boards.errors import ApprovalPending
from boards.models import Approval, Board, Comment, SeatRole, Task, TaskStatus
from executions import actions, worktrees
from executions.engine.sweep import sweep
from executions.models import (
    Checkpoint,
    Entry,
    Execution,
    Merge,
    MergeStatus,
    Status,
    Worker,
    Worktree,
    WorktreeStatus,
)
from executions.review import door, merges
from executions.review.decisions import approve_work
from executions.worktrees import places
from tests.boards.agents import with_token
from tests.executions.asking import refused
from tests.executions.carrying import drive, fail
from tests.executions.repositories import a_repository, git, is_untouched
from tests.executions.reviewing import (
    FIRST,
    LIST,
    a_merging_worker,
    a_repository_board,
    a_started_task,
    a_worker_of,
    approval_of,
    approve,
    carry_out,
    decider,
    reject,
    shown,
    task_of,
    worked,
    writes,
)
from tests.executions.scheduling import a_kept_process
from tests.factories import (
    API,
    all_at_once,
    client_of,
    counted_queries,
    make_member,
    signed_in,
    somebody_waits_for_a_lock,
    wait_until,
)
from tests.starting import a_run, an_organization

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def work(tmp_path: Path, settings: Any) -> None:
    settings.SIGNALBOX_WORK_DIR = tmp_path / "work"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return a_repository(tmp_path / "repository", FIRST)


@pytest.fixture
def board(repository: Path) -> Board:
    return a_repository_board(repository)


@pytest.fixture
def agent(board: Board) -> Agent:
    return a_worker_of(board)


@pytest.fixture
def api(board: Board) -> APIClient:
    return decider(board)


@pytest.fixture
def run(agent: Agent, board: Board) -> Execution:
    return worked(agent, board)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request waits for a merge."""
    monkeypatch.setattr(door, "PATIENCE_SECONDS", 0.01)


def log(repository: Path) -> list[str]:
    return git(repository, "log", "--format=%s", "main").split("\n")


def is_as_it_was(run: Execution, repository: Path) -> bool:
    """Whether the decision is still to be made, and nothing was merged."""
    return (
        task_of(run).status == TaskStatus.REVIEW
        and approval_of(run).status == "pending"
        and git(repository, "show", "main:a.txt") == "one"
        and is_untouched(repository)
        and not Merge.objects.exclude(status=MergeStatus.REFUSED).exists()
    )


# --- approved -----------------------------------------------------------------------------------


def test_approved_work_is_merged_and_its_task_done(
    api: APIClient, run: Execution, repository: Path
) -> None:
    place = Path(Worktree.objects.get().path)
    with a_merging_worker():
        answer = approve(api, run)

    assert answer.status_code == 200, answer.content
    merge = Merge.objects.get()
    assert answer.json()["review"] == {
        "status": "approved",
        "approval": str(approval_of(run).id),
        "merge": {
            "status": "merged",
            "strategy": "merge",
            "target": "main",
            "sha": merge.sha,
            "problem": None,
        },
    }
    assert merge.sha == git(repository, "rev-parse", "main")
    assert (repository / "a.txt").read_text() == "ONE\n"
    assert is_untouched(repository)
    assert "Say it better" in log(repository)
    assert (task_of(run).status, approval_of(run).decider_kind) == (TaskStatus.DONE, "key")
    worktree = Worktree.objects.get()
    assert (worktree.status, worktree.merge_sha) == (WorktreeStatus.REMOVED, merge.sha)
    assert not place.exists()
    line = Activity.objects.get(type="worktree.merged")
    assert (line.execution_id, line.data["sha"]) == (run.pk, merge.sha)


@pytest.mark.parametrize(("asked", "parents"), [({}, 1), ({"strategy": "merge"}, 2)])
def test_the_board_says_how_it_is_merged_unless_the_approval_does(
    api: APIClient, run: Execution, repository: Path, asked: dict[str, str], parents: int
) -> None:
    Board.objects.update(merge_strategy="squash")
    (repository / "b.txt").write_text("TWO\n")
    git(repository, "commit", "--quiet", "--all", "--message=Meanwhile")
    with a_merging_worker():
        assert approve(api, run, **asked).status_code == 200
    assert len(git(repository, "log", "-1", "--format=%P", "main").split()) == parents


def test_a_merge_that_lasts_goes_on_without_the_request(
    api: APIClient, run: Execution, impatient: None
) -> None:
    answer = approve(api, run)
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"{LIST}/{run.pk}"
    assert answer.json()["review"]["status"] == "merging"

    carry_out(Merge.objects.get().pk)
    assert shown(api, run)["review"]["status"] == "approved"
    assert task_of(run).status == TaskStatus.DONE


def test_two_at_once_merge_once_and_hear_the_same(
    api: APIClient, run: Execution, repository: Path
) -> None:
    with a_merging_worker():
        answers = all_at_once(*[lambda: approve(api, run)] * 3)
    assert [answer.status_code for answer in answers] == [200] * 3, answers
    assert len({answer.content for answer in answers}) == 1
    assert Merge.objects.count() == 1
    assert log(repository).count("Say it better") == 1
    refused(approve(api, run), 409, "ALREADY_DECIDED")


def test_a_message_that_comes_twice_merges_once(
    api: APIClient, run: Execution, repository: Path, impatient: None
) -> None:
    Board.objects.update(merge_strategy="squash")
    approve(api, run)
    key = Merge.objects.get().pk
    all_at_once(*[lambda: carry_out(key)] * 4)
    carry_out(key)
    assert log(repository) == ["Say it better", "First"]


def test_a_try_whose_claim_was_taken_moves_nothing(
    api: APIClient, run: Execution, repository: Path, impatient: None
) -> None:
    """Its worker stood still so long that another one began."""
    approve(api, run)
    key = Merge.objects.get().pk
    late = merges._taken(key)
    assert late is not None
    assert merges._taken(key) is None
    Merge.objects.update(taken_at=timezone.now() - timedelta(hours=1))
    assert merges._taken(key) is not None
    with pytest.raises(merges.Superseded):
        merges._merged(late)
    assert log(repository) == ["First"]
    assert Worktree.objects.get().status == WorktreeStatus.ACTIVE


@contextmanager
def a_try_that_waits_for_the_repository(merge: Merge, repository: Path) -> Iterator[None]:
    """A worker's try, for as long as the block holds the repository, and to its end after it."""

    def work() -> None:
        try:
            merges.carry_out(merge.pk, process)
        finally:
            connection.close()

    with a_kept_process() as process:
        thread = threading.Thread(target=work, daemon=True)
        try:
            with places.repository_lock(repository / ".git"):
                thread.start()
                wait_until(Merge.objects.filter(claim_id__isnull=False).exists)
                yield
        finally:
            thread.join(30)
        assert not thread.is_alive()


def test_a_try_that_lasts_longer_than_a_lease_keeps_its_claim(
    api: APIClient, run: Execution, repository: Path, impatient: None
) -> None:
    approve(api, run)
    merge = Merge.objects.get()
    with a_try_that_waits_for_the_repository(merge, repository):
        taken = Merge.objects.get()
        for _ in range(2):
            Merge.objects.update(taken_at=timezone.now() - timedelta(hours=1))
            wait_until(lambda: not merges._free().exists())
    merge.refresh_from_db()
    assert (merge.status, merge.claim_id) == (MergeStatus.MERGED, taken.claim_id)
    assert log(repository)[:1] == ["Say it better"]


def test_a_try_that_lost_its_claim_while_it_waited_lands_nothing(
    api: APIClient, run: Execution, repository: Path, impatient: None
) -> None:
    approve(api, run)
    merge = Merge.objects.get()
    with a_try_that_waits_for_the_repository(merge, repository):
        long_ago = timezone.now() - timedelta(hours=1)
        Merge.objects.update(claim_id=uuid4(), taken_at=long_ago)
        # The keeper has looked since: it gives its sign behind each look, the first of which may
        # have been before.
        for _ in range(2):
            sign = Worker.objects.get().seen_at
            wait_until(lambda sign=sign: Worker.objects.filter(seen_at__gt=sign).exists())
    assert log(repository) == ["First"]
    # It keeps no claim but its own, so that another takes over.
    assert Merge.objects.get().taken_at == long_ago
    carry_out(merge.pk)
    assert log(repository).count("Say it better") == 1
    assert Merge.objects.get().status == MergeStatus.MERGED


def test_a_conflict_names_the_files_and_changes_nothing(
    api: APIClient, run: Execution, repository: Path
) -> None:
    (repository / "a.txt").write_text("uno\n")
    git(repository, "commit", "--quiet", "--all", "--message=Meanwhile")
    with a_merging_worker():
        problem = refused(approve(api, run), 409, "WORKTREE_MERGE_CONFLICT")
    assert problem["files"] == ["a.txt"]
    assert (task_of(run).status, approval_of(run).status) == (TaskStatus.REVIEW, "pending")
    assert log(repository) == ["Meanwhile", "First"]
    assert is_untouched(repository)
    review = shown(api, run)["review"]
    assert (review["status"], review["merge"]["problem"]["facts"]) == (
        "pending",
        {"files": ["a.txt"]},
    )
    # A person makes room for it, and approves again.
    git(repository, "revert", "--no-edit", "HEAD")
    with a_merging_worker():
        assert approve(api, run).status_code == 200
    assert (repository / "a.txt").read_text() == "ONE\n"


def test_a_checkout_with_changes_is_not_merged_to(
    api: APIClient, run: Execution, repository: Path
) -> None:
    (repository / "a.txt").write_text("in the middle of something\n")
    with a_merging_worker():
        refused(approve(api, run), 409, "TARGET_CHECKED_OUT")
    git(repository, "checkout", "--quiet", "a.txt")
    assert is_as_it_was(run, repository)


def test_a_repository_that_is_gone_refuses_the_merge(
    api: APIClient, run: Execution, repository: Path
) -> None:
    away = repository.rename(repository.with_name("away"))
    with a_merging_worker():
        refused(approve(api, run), 400, "NOT_A_GIT_REPOSITORY")
    away.rename(repository)
    assert is_as_it_was(run, repository)


def test_work_without_changes_is_approved_without_a_merge(
    api: APIClient, agent: Agent, board: Board
) -> None:
    run = worked(agent, board, {"say": "Nothing was to be done."})
    answer = approve(api, run)
    assert answer.status_code == 200
    assert answer.json()["review"]["status"] == "approved"
    assert task_of(run).status == TaskStatus.DONE
    assert not Merge.objects.exists()
    refused(approve(api, run), 409, "ALREADY_DECIDED")


def test_work_that_a_person_put_into_review_can_be_approved(
    api: APIClient, agent: Agent, board: Board
) -> None:
    Board.objects.update(only_lead_can_change_status=True)
    run = worked(agent, board)
    refused(approve(api, run), 409, "TASK_NOT_IN_REVIEW")
    change_task(task_of(run), {"status": TaskStatus.REVIEW}, by=SYSTEM)
    assert approval_of(run).status == "pending"
    with a_merging_worker():
        assert approve(api, run).status_code == 200
    assert approval_of(run).status == "approved"


# --- gates --------------------------------------------------------------------------------------


def test_the_merge_is_the_approval_that_done_asks_for(api: APIClient, run: Execution) -> None:
    Board.objects.update(require_approval_for_done=True, require_review_before_done=True)
    with pytest.raises(Exception, match="approval"):
        change_task(task_of(run), {"status": TaskStatus.DONE}, by=SYSTEM)
    with a_merging_worker():
        assert approve(api, run).status_code == 200
    assert task_of(run).status == TaskStatus.DONE


def test_another_pending_approval_stands_in_its_way_if_the_board_says_so(
    api: APIClient, run: Execution, board: Board, repository: Path
) -> None:
    Board.objects.update(block_status_changes_with_pending_approval=True)
    request = ApprovalRequest("release", "Why?", task_ids=(task_of(run).id,))
    other = ask_approval(board, request, by=SYSTEM)
    problem = refused(approve(api, run), 409, "APPROVAL_PENDING")
    assert problem["approval_ids"] == [str(other.id)]
    refused(reject(api, run, "No."), 409, "APPROVAL_PENDING")
    assert is_as_it_was(run, repository)
    withdraw_approval(other, by=SYSTEM)
    with a_merging_worker():
        assert approve(api, run).status_code == 200


def test_an_unfinished_dependency_stands_in_its_way(
    api: APIClient, run: Execution, board: Board, repository: Path
) -> None:
    on = a_started_task(a_worker_of(board), board)
    Task.depends_on.through.objects.create(task=task_of(run), on=on)
    refused(approve(api, run), 409, "TASK_BLOCKED")
    assert is_as_it_was(run, repository)


def test_a_gate_that_closes_during_the_merge_leaves_the_task_in_review(
    api: APIClient, run: Execution, board: Board, impatient: None
) -> None:
    approve(api, run)
    Board.objects.update(block_status_changes_with_pending_approval=True)
    request = ApprovalRequest("release", "Why?", task_ids=(task_of(run).id,))
    ask_approval(board, request, by=SYSTEM)
    carry_out(Merge.objects.get().pk)
    assert Merge.objects.get().status == MergeStatus.MERGED
    assert (task_of(run).status, approval_of(run).status) == (TaskStatus.REVIEW, "approved")
    assert Activity.objects.get(type="worktree.merged").data["task_refused"] == "APPROVAL_PENDING"


# --- who, and where -----------------------------------------------------------------------------


def test_who_may_not_decide(run: Execution, board: Board, agent: Agent, repository: Path) -> None:
    organization = board.organization
    for client, code in (
        (client_of(organization, Role.VIEWER), "ROLE_TOO_LOW"),
        (client_of(organization, Role.OPERATOR, Scope.READ, Scope.RUN), "SCOPE_MISSING"),
        (with_token(agent), "AGENTS_NOT_ALLOWED"),
    ):
        for answer in (approve(client, run), reject(client, run, "No.")):
            assert answer.status_code == 403, answer.content
            assert answer.json()["code"] == code
    assert is_as_it_was(run, repository)


def test_the_requester_does_not_decide(run: Execution, board: Board, repository: Path) -> None:
    member = make_member(board.organization, Role.OPERATOR)
    Approval.objects.update(requester_kind="member", requester_id=member.user_id)
    person = signed_in(member.user)
    refused(approve(person, run), 403, "REQUESTER_CANNOT_DECIDE")
    refused(reject(person, run, "No."), 403, "REQUESTER_CANNOT_DECIDE")
    assert is_as_it_was(run, repository)


def test_another_organization_sees_nothing_of_it(run: Execution, repository: Path) -> None:
    stranger = client_of(an_organization(), Role.OWNER)
    refused(approve(stranger, run), 404, "NOT_FOUND")
    refused(reject(stranger, run, "No."), 404, "NOT_FOUND")
    approval = approval_of(run)
    address = f"{API}/boards/{approval.board_id}/approvals/{approval.id}"
    refused(stranger.patch(address, {"status": "approved"}), 404, "NOT_FOUND")
    assert is_as_it_was(run, repository)


def test_what_is_asked_must_make_sense(api: APIClient, run: Execution) -> None:
    refused(approve(api, run, strategy="fast"), 422, "VALIDATION_FAILED")
    refused(reject(api, run, "  "), 422, "VALIDATION_FAILED")
    refused(api.post(f"{LIST}/{run.pk}/reject", {}), 422, "VALIDATION_FAILED")


@pytest.mark.parametrize("status", [TaskStatus.INBOX, TaskStatus.IN_PROGRESS])
def test_only_work_in_review_is_decided_on(
    api: APIClient, run: Execution, status: TaskStatus
) -> None:
    change_task(task_of(run), {"status": status}, by=SYSTEM)
    refused(approve(api, run), 409, "TASK_NOT_IN_REVIEW")
    refused(reject(api, run, "No."), 409, "TASK_NOT_IN_REVIEW")


def test_work_that_has_not_ended_is_not_decided_on(
    api: APIClient, agent: Agent, board: Board
) -> None:
    live = a_run(agent, {"say": "x"}, board=board, task=a_started_task(agent, board))
    refused(approve(api, live), 409, "EXECUTION_STATE")
    refused(reject(api, live, "No."), 409, "EXECUTION_STATE")


# --- rejected -----------------------------------------------------------------------------------


def rejected(api: APIClient, run: Execution, reason: str) -> Execution:
    answer = reject(api, run, reason)
    assert answer.status_code == 202, answer.content
    assert answer.headers["Location"] == f"{LIST}/{answer.json()['exec_id']}"
    return Execution.objects.get(pk=answer.json()["exec_id"])


def test_rejected_twice_and_then_approved(
    api: APIClient, agent: Agent, board: Board, repository: Path
) -> None:
    first = worked(
        agent,
        board,
        writes(),
        {"say": "It is better."},
        writes("b.txt", "TWO\n"),
        {"say": "And now?"},
        writes("c.txt", "THREE\n"),
        {"say": "At last."},
    )
    task, place = task_of(first), Worktree.objects.get().path

    second = rejected(api, first, "And b?")
    assert (second.forked_from, second.turn, second.task) == (first, 2, task)
    assert task_of(second).status == TaskStatus.IN_PROGRESS
    assert task_of(second).assigned_agent == agent
    worktree = Worktree.objects.get(execution=second)
    assert (worktree.branch, worktree.path) == (first.diff["branch"], place)
    entries = api.get(f"{LIST}/{second.pk}/entries").json()["results"]
    assert [entry["content"]["text"] for entry in entries[-2:]] == ["It is better.", "And b?"]
    drive(second)
    assert (second.status, second.turn) == (Status.COMPLETED, 4), second.failure_message
    assert task_of(second).status == TaskStatus.REVIEW
    # Left clean on this host, the directory was good as it was.
    assert Worktree.objects.get(execution=second).path == place

    third = rejected(api, second, "And c?")
    drive(third)
    assert [file["path"] for file in third.diff["files"]] == ["a.txt", "b.txt", "c.txt"]
    assert third.diff["branch"] == first.diff["branch"]
    for early in (first, second):
        refused(approve(api, early), 409, "ALREADY_DECIDED")
        refused(reject(api, early, "Once more."), 409, "ALREADY_DECIDED")

    with a_merging_worker():
        assert approve(api, third).status_code == 200
    assert (repository / "c.txt").read_text() == "THREE\n"
    card = api.get(f"{API}/boards/{board.id}/tasks/{task.id}").json()
    for told in (shown(api, third)["rejections"], card["rejections"]):
        assert told["count"] == 2
        assert [(each["exec_id"], each["reason"]) for each in told["reasons"]] == [
            (str(first.pk), "And b?"),
            (str(second.pk), "And c?"),
        ]
    assert card["status"] == "done"
    assert is_untouched(repository)
    said = Comment.objects.filter(task=task).values_list("content", flat=True)
    assert list(said) == ["It is better.", "And now?", "At last."]


def test_files_that_are_lost_are_rebuilt_for_the_rework(
    api: APIClient, agent: Agent, board: Board
) -> None:
    run = worked(agent, board, writes(), {"say": "x"}, writes("b.txt", "TWO\n"), {"say": "y"})
    place = Path(Worktree.objects.get().path)
    place.rename(place.with_name("lost"))
    again = rejected(api, run, "And b?")
    drive(again)
    assert [file["path"] for file in again.diff["files"]] == ["a.txt", "b.txt"]
    assert again.diff["branch"] == run.diff["branch"]


def test_the_directory_of_reworked_work_is_no_orphan(api: APIClient, run: Execution) -> None:
    place = Path(Worktree.objects.get().path)
    rejected(api, run, "No.")
    long_ago = (timezone.now() - timedelta(days=2)).timestamp()
    for part in places.parts_of(place):
        os.utime(part, (long_ago, long_ago))
    worktrees.prune()
    assert place.is_dir()


def test_work_without_changes_can_be_rejected(api: APIClient, agent: Agent, board: Board) -> None:
    run = worked(agent, board, {"say": "Nothing was to be done."}, writes(), {"say": "Well."})
    again = rejected(api, run, "But there was.")
    drive(again)
    assert approval_of(again).status == "pending"
    assert approval_of(run).decision_reason == "But there was."


def test_why_work_is_sent_back_is_kept_and_told_without_a_secret(
    api: APIClient, agent: Agent, board: Board
) -> None:
    Board.objects.filter(pk=board.pk).update(environment={"TOKEN": "owl-7731-at-dusk"})
    board.refresh_from_db()
    run = worked(agent, board)
    again = rejected(api, run, "Not with owl-7731-at-dusk!")
    assert approval_of(run).decision_reason == "Not with [redacted:TOKEN]!"
    told = Entry.objects.filter(execution=again).order_by("position").first()
    assert told is not None
    assert told.content["text"] == "Not with [redacted:TOKEN]!"


def test_a_rejection_without_room_leaves_everything_as_it_was(
    api: APIClient, agent: Agent, board: Board, run: Execution, repository: Path
) -> None:
    a_run(a_worker_of(board), {"say": "x"}, board=board)
    Board.objects.update(max_concurrent=1, max_queue=0)
    refused(reject(api, run, "No."), 429, "QUEUE_FULL")
    assert is_as_it_was(run, repository)
    assert Worktree.objects.get().execution == run
    assert Execution.objects.filter(forked_from=run).count() == 0


def test_several_rejections_at_once_make_one_execution(
    api: APIClient, run: Execution, agent: Agent
) -> None:
    answers = all_at_once(*[lambda n=n: reject(api, run, f"Reason {n}") for n in range(3)])
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409]
    assert Execution.objects.filter(forked_from=run).count() == 1


def test_the_same_rejection_sent_twice_is_one(api: APIClient, run: Execution) -> None:
    headers = {"Idempotency-Key": "no-1"}
    first, second = (reject(api, run, "No.", **headers) for _ in range(2))
    assert first.json() == second.json()
    assert second.headers["Idempotency-Replayed"] == "true"


def test_approve_and_reject_at_once_do_one_of_both(
    api: APIClient, run: Execution, repository: Path, impatient: None
) -> None:
    answers = all_at_once(lambda: approve(api, run), lambda: reject(api, run, "No."))
    for key in Merge.objects.values_list("pk", flat=True):
        carry_out(key)
    is_merged = Merge.objects.filter(status=MergeStatus.MERGED).exists()
    is_reworked = Execution.objects.filter(forked_from=run).exists()
    assert is_merged != is_reworked, [answer.content for answer in answers]
    assert approval_of(run).status == ("approved" if is_merged else "rejected")


def test_a_fork_of_reworked_work_has_its_files(api: APIClient, run: Execution) -> None:
    rejected(api, run, "No.")
    change_task(task_of(run), {"status": TaskStatus.INBOX}, by=SYSTEM)
    Execution.objects.filter(pk=run.pk).update(task=None)
    last = Checkpoint.objects.filter(execution=run).last()
    assert last is not None
    other = actions.fork(run, checkpoint=last.sequence, by=SYSTEM)
    drive(other)
    assert [file["path"] for file in other.diff["files"]] == ["a.txt"]
    assert other.diff["base"] == run.diff["base"]


# --- the board's approvals ----------------------------------------------------------------------


def patch(api: APIClient, run: Execution, **body: Any) -> Any:
    approval = approval_of(run)
    return api.patch(f"{API}/boards/{approval.board_id}/approvals/{approval.id}", body)


def test_a_boards_approval_is_the_same_yes(
    api: APIClient, run: Execution, repository: Path
) -> None:
    answer = patch(api, run, status="approved")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    carry_out(Merge.objects.get().pk)
    assert (task_of(run).status, approval_of(run).status) == (TaskStatus.DONE, "approved")
    assert (repository / "a.txt").read_text() == "ONE\n"
    refused(patch(api, run, status="approved"), 409, "ALREADY_DECIDED")


def test_and_the_same_no(api: APIClient, run: Execution) -> None:
    refused(patch(api, run, status="rejected"), 422, "VALIDATION_FAILED")
    answer = patch(api, run, status="rejected", reason="Not yet.")
    assert (answer.status_code, answer.json()["status"]) == (200, "rejected")
    assert Execution.objects.get(forked_from=run).input["continuation"] == "Not yet."


def test_a_withdrawn_approval_leaves_the_task_in_review(
    api: APIClient, run: Execution, board: Board
) -> None:
    approval = approval_of(run)
    boards = decider(board, Scope.READ, Scope.BOARDS)
    answer = boards.post(f"{API}/boards/{board.id}/approvals/{approval.id}/withdraw")
    assert answer.status_code == 200
    assert task_of(run).status == TaskStatus.REVIEW
    problem = refused(approve(api, run), 409, "ALREADY_DECIDED")
    assert (problem["approval_status"], "comes back" in problem["detail"]) == ("withdrawn", True)
    assert refused(reject(api, run, "No."), 409, "ALREADY_DECIDED")["detail"] == problem["detail"]
    is_moved(run, TaskStatus.INBOX, TaskStatus.REVIEW)
    assert newest_approval_of(run).status == "pending"


def at_once_with_an_approval(run: Execution, change: Callable[[], object]) -> None:
    """Begin the change while a slow approval holds the board, so that it waits for that."""
    asked, person = threading.Event(), Actor(ActorKind.MEMBER, uuid4(), "Ada")

    def approve_slowly() -> None:
        with transaction.atomic():
            approve_work(run, by=person)
            asked.set()
            wait_until(somebody_waits_for_a_lock)

    def change_meanwhile() -> None:
        asked.wait(10)
        change()

    assert all_at_once(approve_slowly, change_meanwhile) == [None, None]


def test_a_withdrawal_that_comes_during_an_approval_takes_it_back(
    run: Execution, repository: Path
) -> None:
    at_once_with_an_approval(run, lambda: withdraw_approval(approval_of(run), by=SYSTEM))
    merge = Merge.objects.get()
    carry_out(merge.pk)
    merge.refresh_from_db()
    assert merge.status == MergeStatus.REFUSED
    assert log(repository) == ["First"]


def test_a_move_of_which_only_the_answer_was_lost_is_a_merge(
    api: APIClient,
    run: Execution,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    impatient: None,
) -> None:
    merge_to = worktrees.merge

    def lose_the_answer(*arguments: Any, **more: Any) -> str:
        merge_to(*arguments, **more)
        raise worktrees.WorktreeError("The connection was lost.")

    monkeypatch.setattr(worktrees, "merge", lose_the_answer)
    approve(api, run)
    merge = Merge.objects.get()
    carry_out(merge.pk)
    merge.refresh_from_db()
    assert merge.status == MergeStatus.MERGED
    assert merge.sha == git(repository, "rev-parse", "main")
    assert task_of(run).status == TaskStatus.DONE


def test_a_withdrawal_takes_back_a_merge_that_has_not_begun(
    api: APIClient, run: Execution, repository: Path, impatient: None
) -> None:
    approve(api, run)
    withdraw_approval(approval_of(run), by=SYSTEM)
    merge = Merge.objects.get()
    assert (merge.status, merge.problem["code"]) == (MergeStatus.REFUSED, "ALREADY_DECIDED")
    carry_out(merge.pk)
    assert log(repository) == ["First"]


def test_what_is_merged_at_this_moment_is_taken_back_by_nobody(
    api: APIClient, run: Execution, impatient: None
) -> None:
    approve(api, run)
    Worktree.objects.update(status=WorktreeStatus.MERGING, merge_sha="0" * 40)
    refused(reject(api, run, "Wait!"), 409, "MERGE_UNDER_WAY")
    for take in (lambda: withdraw_approval(approval_of(run), by=SYSTEM), lambda: delete(run)):
        with pytest.raises(merges.MergeUnderWay):
            take()
    assert approval_of(run).status == "pending"


def delete(run: Execution) -> None:
    delete_task(task_of(run), by=SYSTEM)


def test_a_task_that_is_started_afresh_withdraws_what_was_asked(
    run: Execution, repository: Path
) -> None:
    actions.retry(run, by=SYSTEM)
    assert approval_of(run).status == "withdrawn"


def test_a_task_that_is_deleted_during_the_merge_does_not_break_it(
    api: APIClient, run: Execution, repository: Path, impatient: None
) -> None:
    approve(api, run)
    Task.objects.all().delete()
    carry_out(Merge.objects.get().pk)
    assert Merge.objects.get().status == MergeStatus.MERGED
    assert (repository / "a.txt").read_text() == "ONE\n"


# --- moved by hand ------------------------------------------------------------------------------


def is_moved(run: Execution, *statuses: TaskStatus) -> None:
    """A person moves the card of the work."""
    for status in statuses:
        change_task(task_of(run), {"status": status}, by=SYSTEM)


def newest_approval_of(run: Execution) -> Approval:
    return Approval.objects.filter(execution_id=run.pk).latest("id")


@pytest.mark.parametrize("status", [TaskStatus.INBOX, TaskStatus.IN_PROGRESS, TaskStatus.DONE])
def test_a_card_that_leaves_review_takes_back_what_was_asked(
    api: APIClient, run: Execution, status: TaskStatus
) -> None:
    Board.objects.update(require_approval_for_done=False)
    is_moved(run, status)
    assert approval_of(run).status == "withdrawn"
    for answer in (approve(api, run), reject(api, run, "No.")):
        problem = refused(answer, 409, "TASK_NOT_IN_REVIEW")
        assert problem["task_status"] == status
        assert "once it is put there" in problem["detail"]
    assert "was withdrawn" in api.get(f"{LIST}/{run.pk}/explain").json()["summary"]


def test_a_lead_that_sends_it_back_takes_back_what_was_asked(run: Execution, board: Board) -> None:
    lead = a_worker_of(board, SeatRole.LEAD)
    by = Actor(ActorKind.AGENT, lead.id, lead.name)
    change_task(task_of(run), {"status": TaskStatus.INBOX}, by=by)
    assert approval_of(run).status == "withdrawn"


def test_a_card_that_is_sent_back_unasked_takes_back_what_was_asked(
    run: Execution, board: Board
) -> None:
    on = a_started_task(a_worker_of(board), board)
    change_task(task_of(run), {"depends_on_task_ids": [on.id]}, by=SYSTEM)
    assert (task_of(run).status, approval_of(run).status) == (TaskStatus.INBOX, "withdrawn")


def test_a_move_that_is_refused_takes_back_nothing(run: Execution) -> None:
    Board.objects.update(block_status_changes_with_pending_approval=True)
    with pytest.raises(ApprovalPending):
        is_moved(run, TaskStatus.INBOX)
    assert (task_of(run).status, approval_of(run).status) == (TaskStatus.REVIEW, "pending")


def test_a_card_stays_while_its_work_is_merged(
    api: APIClient, run: Execution, impatient: None
) -> None:
    approve(api, run)
    Worktree.objects.update(status=WorktreeStatus.MERGING, merge_sha="0" * 40)
    with pytest.raises(merges.MergeUnderWay):
        is_moved(run, TaskStatus.INBOX)
    assert (task_of(run).status, approval_of(run).status) == (TaskStatus.REVIEW, "pending")


def test_a_card_that_comes_back_is_asked_about_again(
    api: APIClient, run: Execution, agent: Agent, repository: Path
) -> None:
    first = approval_of(run)
    is_moved(run, TaskStatus.IN_PROGRESS, TaskStatus.REVIEW)

    second = newest_approval_of(run)
    assert (second.status, second.payload) == ("pending", first.payload)
    assert second.requester_id == agent.id
    assert shown(api, run)["review"] == {"status": "pending", "approval": str(second.id)}
    # By what was withdrawn nobody decides on what is asked now.
    old = f"{API}/boards/{first.board_id}/approvals/{first.id}"
    for body in ({"status": "approved"}, {"status": "rejected", "reason": "No."}):
        refused(api.patch(old, body), 409, "ALREADY_DECIDED")
    assert newest_approval_of(run).status == "pending"

    with a_merging_worker():
        assert approve(api, run).status_code == 200
    assert task_of(run).status == TaskStatus.DONE
    assert newest_approval_of(run).status == "approved"
    assert log(repository).count("Say it better") == 1


def test_a_card_that_comes_back_can_be_sent_back_with_a_reason(
    api: APIClient, run: Execution
) -> None:
    is_moved(run, TaskStatus.INBOX, TaskStatus.REVIEW)
    assert rejected(api, run, "Not yet.").forked_from == run
    assert newest_approval_of(run).status == "rejected"


def test_what_was_decided_is_not_asked_again(api: APIClient, run: Execution) -> None:
    with a_merging_worker():
        approve(api, run)
    is_moved(run, TaskStatus.REVIEW)
    assert approval_of(run).status == "approved"
    refused(approve(api, run), 409, "ALREADY_DECIDED")


def test_nothing_is_asked_about_a_card_without_work_that_completed(
    agent: Agent, board: Board
) -> None:
    task = a_started_task(agent, board)
    fail(a_run(agent, writes(), {"say": "x"}, board=board, task=task))
    change_task(task, {"status": TaskStatus.REVIEW}, by=SYSTEM)
    change_task(a_started_task(agent, board), {"status": TaskStatus.REVIEW}, by=SYSTEM)
    assert not Approval.objects.exists()


def test_a_move_that_comes_during_an_approval_takes_it_back(
    api: APIClient, run: Execution, repository: Path
) -> None:
    at_once_with_an_approval(run, lambda: is_moved(run, TaskStatus.INBOX))
    carry_out(Merge.objects.get().pk)
    assert Merge.objects.get().status == MergeStatus.REFUSED
    assert (task_of(run).status, approval_of(run).status) == (TaskStatus.INBOX, "withdrawn")
    assert log(repository) == ["First"]

    is_moved(run, TaskStatus.REVIEW)
    with a_merging_worker():
        assert approve(api, run).status_code == 200
    assert log(repository).count("Say it better") == 1


def test_a_move_and_an_approval_at_once_are_one_after_the_other(
    api: APIClient, run: Execution, repository: Path, impatient: None
) -> None:
    answer, moved = all_at_once(lambda: approve(api, run), lambda: is_moved(run, TaskStatus.INBOX))
    assert moved is None
    # Accepted and then taken back, or refused; told of either.
    assert answer.status_code in (202, 409), answer.content
    for key in Merge.objects.values_list("pk", flat=True):
        carry_out(key)
    assert (task_of(run).status, approval_of(run).status) == (TaskStatus.INBOX, "withdrawn")
    assert log(repository) == ["First"]


def test_a_card_that_comes_back_while_its_old_approval_is_decided(
    api: APIClient, run: Execution, repository: Path, impatient: None
) -> None:
    """The decision was sent while the first was pending, and waits for the board."""
    first, moved = approval_of(run), threading.Event()

    def move_slowly() -> None:
        with transaction.atomic():
            is_moved(run, TaskStatus.INBOX, TaskStatus.REVIEW)
            moved.set()
            wait_until(somebody_waits_for_a_lock)

    def decide() -> Any:
        moved.wait(10)
        return decide_approval(first, approve=True, by=Actor(ActorKind.MEMBER, uuid4(), "Ada"))

    [none, answer] = all_at_once(move_slowly, decide)
    assert (none, type(answer)) == (None, AlreadyDecided)
    assert newest_approval_of(run).status == "pending"
    assert not Merge.objects.exists()


# --- lost messages ------------------------------------------------------------------------------


def test_a_merge_whose_message_is_lost_is_asked_for_again(
    api: APIClient, run: Execution, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(merges, "send", lambda task, key, queue: sent.append((key, queue)))
    Board.objects.update(worker_queue="forge")
    approve(api, run)
    key = Merge.objects.get().pk
    assert sweep()["send_merges_again"] == 0
    assert sent == [(key, "forge")]
    Merge.objects.update(sent_at=timezone.now() - timedelta(hours=1))
    sweep()
    sweep()
    assert sent == [(key, "forge")] * 2
    # Somebody is at it.
    Merge.objects.update(sent_at=timezone.now() - timedelta(hours=1), taken_at=timezone.now())
    sweep()
    assert len(sent) == 2


def test_a_decision_asks_no_more_for_more_cards(api: APIClient, agent: Agent, board: Board) -> None:
    address = f"{API}/boards/{board.id}/tasks"
    api.get(address)  # The key notes its first use.
    counts = []
    for _ in range(2):
        worked(agent, board)
        with counted_queries() as queries:
            assert api.get(address).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_approving_outside_of_a_request_is_the_same_action(run: Execution, board: Board) -> None:
    member = make_member(board.organization, Role.OPERATOR)
    by = Actor(ActorKind.MEMBER, member.user_id, "Ada")
    merge = approve_work(run, by=by)
    assert merge is not None
    carry_out(merge.pk)
    assert approval_of(run).decider_id == member.user_id


# --- the admin, and words -----------------------------------------------------------------------


def test_an_operator_decides_in_the_admin(
    client: Any, agent: Agent, board: Board, run: Execution, repository: Path
) -> None:
    client.force_login(User.objects.create_superuser(username="root"))
    page = reverse("admin:executions_execution_changelist")

    def act(action: str, **beside: str) -> list[str]:
        body = {"action": action, "_selected_action": [str(run.pk)], **beside}
        answer = client.post(page, body)
        return [str(message) for message in get_messages(answer.wsgi_request)]

    assert "Write beside the action why." in act("reject")
    assert "Sent back: 1." in act("reject", said="Once more.")
    run = Execution.objects.get(forked_from=run)
    assert run.input["continuation"] == "Once more."
    drive(run)
    assert "Approved, and merged by a worker: 1." in act("approve")
    carry_out(Merge.objects.get().pk)
    assert task_of(run).status == TaskStatus.DONE
    assert "Merged" in client.get(reverse("admin:executions_merge_changelist")).content.decode()
    page = reverse("admin:executions_execution_change", args=[run.pk])
    assert Merge.objects.get().sha in client.get(page).content.decode()


def test_a_board_is_decided_on_in_the_admin_with_a_reason(client: Any, run: Execution) -> None:
    client.force_login(User.objects.create_superuser(username="root"))
    page = reverse("admin:boards_approval_changelist")
    body = {"action": "reject", "_selected_action": [str(approval_of(run).pk)]}
    client.post(page, body)
    assert approval_of(run).status == "pending"
    client.post(page, body | {"reason": "Not yet."})
    assert approval_of(run).decision_reason == "Not yet."
    assert Execution.objects.filter(forked_from=run).exists()


def test_it_is_explained_what_the_work_waits_for(
    api: APIClient, run: Execution, repository: Path, impatient: None
) -> None:
    def why() -> str:
        summary: str = api.get(f"{LIST}/{run.pk}/explain").json()["summary"]
        return summary

    assert "Its work is in review. It is decided by POST" in why()
    approve(api, run)
    assert "is to be merged into main" in why()
    (repository / "a.txt").write_text("uno\n")
    git(repository, "commit", "--quiet", "--all", "--message=Meanwhile")
    carry_out(Merge.objects.get().pk)
    assert "The last merge was refused: The branch and the work" in why()
    reject(api, run, "Begin from what is there now.")
    assert "Its work was rejected." in why()
