"""What has completed is handed in: the answer as a comment, the task to review, the merge asked."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from agents.activity import SYSTEM
from agents.models import Activity, Agent, LiveWork, Message, MessageKind
from boards.actions import ApprovalRequest, ask_approval, change_task
from boards.models import Approval, Board, Comment, Move, SeatRole, Task, TaskStatus
from executions import actions, tasks
from executions.configuration import Wish
from executions.engine.sweep import sweep
from executions.models import Execution, Merge, Status, Worktree
from executions.review import hand_in
from executions.worktrees import places
from tests.executions.carrying import drive, fail
from tests.executions.repositories import a_repository, git
from tests.executions.reviewing import (
    FIRST,
    a_repository_board,
    a_started_task,
    a_worker_of,
    approval_of,
    approve,
    decider,
    shown,
    task_of,
    worked,
    writes,
)
from tests.factories import API, all_at_once, make_live_work
from tests.starting import a_board, a_run, an_agent, an_organization, script

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


def lines(execution: Execution) -> list[dict[str, Any]]:
    found = Activity.objects.filter(execution_id=execution.pk, type="execution.handed_in")
    return list(found.values_list("data", flat=True))


def without_follower(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies after the commit of the end."""
    monkeypatch.setattr("executions.engine.ends._followers", [])


def test_changed_files_bring_the_task_to_review_and_ask_for_the_merge(
    agent: Agent, board: Board
) -> None:
    run = worked(agent, board)
    task = task_of(run)

    assert (task.status, task.handed_in_by) == (TaskStatus.REVIEW, agent)
    comment = Comment.objects.get(task=task)
    assert (comment.content, comment.author_id) == ("It is better.", agent.id)
    move = Move.objects.get(task=task)
    assert (move.before, move.after, move.actor_id) == ("in_progress", "review", agent.id)
    approval = approval_of(run)
    assert (approval.status, approval.requester_id) == ("pending", agent.id)
    assert approval.payload == {
        "exec_id": str(run.pk),
        "branch": run.diff["branch"],
        "commit": run.diff["commit"],
        "stat": {"files": 1, "additions": 1, "deletions": 1},
        "files": 1,
    }
    api = decider(board)
    assert shown(api, run)["review"] == {"status": "pending", "approval": str(approval.id)}
    assert lines(run) == [{"approval_id": str(approval.id), "status": "completed"}]


def test_without_changes_there_is_nothing_to_merge(agent: Agent, board: Board) -> None:
    run = worked(agent, board, {"say": "Nothing was to be done."})
    assert task_of(run).status == TaskStatus.REVIEW
    assert not Approval.objects.exists()
    assert shown(decider(board), run)["review"] == {"status": "pending", "approval": None}


def test_an_output_that_is_an_object_is_posted_as_json(agent: Agent, board: Board) -> None:
    run = a_run(agent, {"say": "x"}, board=board, task=a_started_task(agent, board))
    Execution.objects.filter(pk=run.pk).update(
        status=Status.COMPLETED,
        finished_at=timezone.now(),
        admitted_epoch=None,
        output={"verdict": "grün"},
    )
    LiveWork.objects.all().delete()
    sweep()
    assert Comment.objects.get().content == '{\n  "verdict": "grün"\n}'


def test_a_failure_marks_the_task_and_can_be_retried(agent: Agent, board: Board) -> None:
    task = a_started_task(agent, board)
    run = a_run(agent, {"say": "x"}, board=board, task=task)
    fail(run)
    address = f"{API}/boards/{board.id}/tasks/{task.id}"
    api = decider(board)
    body = api.get(address).json()
    assert body["status"] == "in_progress"
    assert body["last_execution"] == {
        "exec_id": str(run.pk),
        "status": "failed",
        "failure_code": "MODEL_ERROR",
    }
    again = actions.retry(run, by=SYSTEM)
    assert api.get(address).json()["last_execution"]["exec_id"] == str(again.pk)
    drive(again)
    assert task_of(again).status == TaskStatus.REVIEW


def test_a_board_that_wants_a_comment_gets_the_answer(agent: Agent, board: Board) -> None:
    Board.objects.update(comment_required_for_review=True)
    assert task_of(worked(agent, board)).status == TaskStatus.REVIEW


@pytest.mark.parametrize(
    ("flag", "code"),
    [
        ("block_status_changes_with_pending_approval", "APPROVAL_PENDING"),
        ("only_lead_can_change_status", "LEAD_REQUIRED"),
    ],
)
def test_a_gate_that_refuses_leaves_the_task_and_says_so(
    agent: Agent, board: Board, flag: str, code: str
) -> None:
    task = a_started_task(agent, board)
    Board.objects.update(**{flag: True})
    ask_approval(board, ApprovalRequest("release", "Why?", task_ids=(task.id,)), by=SYSTEM)
    run = worked(agent, board, task=task)
    assert task_of(run).status == TaskStatus.IN_PROGRESS
    assert lines(run) == [{"refused": code, "status": "completed"}]
    # The answer is there all the same; the merge is asked for when there is a review.
    assert Comment.objects.get(task=task).content == "It is better."
    assert not Approval.objects.filter(kind="merge").exists()


def test_a_task_that_was_given_to_another_stays_theirs(agent: Agent, board: Board) -> None:
    task = a_started_task(agent, board)
    other = a_worker_of(board)
    run = a_run(agent, writes(), {"say": "done"}, board=board, task=task)
    change_task(task, {"assigned_agent": other}, by=SYSTEM)
    drive(run)
    assert lines(run) == [{"refused": "TASK_NOT_YOURS", "status": "completed"}]


def test_a_lead_that_works_hands_in_too(board: Board) -> None:
    lead = a_worker_of(board, SeatRole.LEAD)
    assert task_of(worked(lead, board)).status == TaskStatus.REVIEW


def test_a_task_that_was_taken_from_the_work_is_left_alone(agent: Agent, board: Board) -> None:
    task = a_started_task(agent, board)
    run = a_run(agent, writes(), {"say": "done"}, board=board, task=task)
    change_task(task, {"status": TaskStatus.INBOX}, by=SYSTEM)
    drive(run)
    assert task_of(run).status == TaskStatus.INBOX
    assert not Comment.objects.exists()
    assert not Approval.objects.exists()
    assert not lines(run)


def test_a_task_on_which_the_next_run_is_live_is_left_alone(
    agent: Agent, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        without_follower(patch)
        run = worked(agent, board)
    later = a_run(agent, {"say": "x"}, board=board, task=task_of(run))
    sweep()
    assert task_of(run).status == TaskStatus.IN_PROGRESS
    drive(later)
    assert task_of(run).status == TaskStatus.REVIEW
    assert lines(run) == []
    assert len(lines(later)) == 1


def test_work_that_another_run_has_followed_is_not_handed_in(
    agent: Agent, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        without_follower(patch)
        run = worked(agent, board)
    fail(a_run(agent, {"say": "x"}, board=board, task=task_of(run)))
    sweep()
    assert task_of(run).status == TaskStatus.IN_PROGRESS


def test_a_task_with_live_work_is_left_alone(
    agent: Agent, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        without_follower(patch)
        run = worked(agent, board)
    make_live_work(agent, task_of(run))
    sweep()
    assert task_of(run).status == TaskStatus.IN_PROGRESS


def test_work_is_handed_in_once_whatever_becomes_of_the_task(agent: Agent, board: Board) -> None:
    run = worked(agent, board)
    change_task(task_of(run), {"status": TaskStatus.IN_PROGRESS}, by=SYSTEM)
    hand_in.follow(run)
    assert task_of(run).status == TaskStatus.IN_PROGRESS
    assert Comment.objects.count() == 1


def test_the_sweep_hands_in_what_a_process_did_not_live_to(
    agent: Agent, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        without_follower(patch)
        run = worked(agent, board)
    assert task_of(run).status == TaskStatus.IN_PROGRESS
    assert shown(decider(board), run)["review"] == {"status": "handing_in", "approval": None}
    assert sweep()["hand_in_left"] == 1
    assert sweep()["hand_in_left"] == 0
    assert task_of(run).status == TaskStatus.REVIEW
    assert approval_of(run).status == "pending"


def test_several_at_once_hand_in_once(
    agent: Agent, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        without_follower(patch)
        run = worked(agent, board)
    all_at_once(*[lambda: hand_in.follow(run)] * 4)
    assert Comment.objects.count() == Approval.objects.count() == Move.objects.count() == 1


def test_work_whose_task_is_gone_is_no_longer_looked_at(agent: Agent, board: Board) -> None:
    task = a_started_task(agent, board)
    run = a_run(agent, {"say": "x"}, board=board, task=task)
    Task.objects.filter(pk=task.pk).delete()
    drive(run)
    assert sweep()["hand_in_left"] == 0


def test_work_outside_of_tasks_is_nobodys_to_review(board: Board) -> None:
    run = a_run(an_agent(board.organization), writes(), {"say": "x"}, board=board)
    drive(run)
    assert "review" not in shown(decider(board), run)
    assert not Approval.objects.exists()


# --- finished at a limit ------------------------------------------------------------------------


def at_its_limit(agent: Agent, board: Board) -> Execution:
    prompt = script(writes(), writes("c.txt"), {"say": "never said"})
    Agent.objects.update(max_turns=1)
    agent.refresh_from_db()
    task = a_started_task(agent, board)
    run = actions.start(agent, Wish(prompt=prompt, board=board, task=task), by=SYSTEM)
    drive(run)
    assert (run.status, run.pause_reason) == (Status.PAUSED, "turn_limit")
    return run


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    keys: list[str] = []
    monkeypatch.setattr(hand_in, "send", lambda task, key, queue: keys.append(str(key)))
    return keys


def test_what_is_finished_at_its_limit_keeps_its_diff(
    agent: Agent, board: Board, repository: Path, sent: list[str]
) -> None:
    run = at_its_limit(agent, board)
    actions.finish(run, by=SYSTEM)
    assert sent == [str(run.pk)]
    assert task_of(run).status == TaskStatus.IN_PROGRESS

    tasks.hand_in.apply(args=sent).get()
    tasks.hand_in.apply(args=sent).get()

    run.refresh_from_db()
    assert [file["path"] for file in run.diff["files"]] == ["a.txt"]
    assert git(repository, "rev-parse", run.diff["branch"]) == run.diff["commit"] == run.tree
    assert task_of(run).status == TaskStatus.REVIEW
    assert approval_of(run).payload["files"] == 1


def test_a_lost_message_of_it_is_sent_again_after_a_while(
    agent: Agent, board: Board, sent: list[str]
) -> None:
    run = at_its_limit(agent, board)
    actions.finish(run, by=SYSTEM)
    sweep()
    assert len(sent) == 1
    Execution.objects.update(sent_at=timezone.now() - timedelta(hours=1))
    sweep()
    sweep()
    assert len(sent) == 2


def test_a_repository_that_is_away_keeps_it_waiting(
    agent: Agent, board: Board, repository: Path, sent: list[str]
) -> None:
    run = at_its_limit(agent, board)
    actions.finish(run, by=SYSTEM)
    away = repository.rename(repository.with_name("away"))
    hand_in.hand_in_with_diff(run.pk)
    run.refresh_from_db()
    assert run.handed_in_at is None
    away.rename(repository)
    hand_in.hand_in_with_diff(run.pk)
    assert approval_of(run).status == "pending"


def kept_files_are_lost(repository: Path) -> None:
    """Another repository is in its place."""
    repository.rename(repository.with_name("lost"))
    a_repository(repository, FIRST)


def finished_days_ago() -> None:
    ended = timezone.now() - timedelta(days=2)
    Execution.objects.filter(status=Status.COMPLETED).update(finished_at=ended)


def test_work_whose_kept_files_are_lost_is_handed_in_and_says_so(
    agent: Agent, board: Board, repository: Path, sent: list[str]
) -> None:
    run = at_its_limit(agent, board)
    actions.finish(run, by=SYSTEM)
    kept_files_are_lost(repository)
    hand_in.hand_in_with_diff(run.pk)

    assert task_of(run).status == TaskStatus.REVIEW
    api, approval = decider(board), approval_of(run)
    problem = approval.payload["problem"]
    assert problem["code"] == "WORKTREE_TREE_MISSING"
    assert problem["detail"] in approval.reason
    review = shown(api, run)["review"]
    assert review == {"status": "pending", "approval": str(approval.id), "problem": problem}
    assert lines(run) == [
        {"problem": problem, "approval_id": str(approval.id), "status": "completed"}
    ]
    why = api.get(f"{API}/executions/agents/{run.pk}/explain").json()["summary"]
    assert "What it changed cannot be read" in why

    # A person decides, also after the card has been away.
    for status in (TaskStatus.INBOX, TaskStatus.REVIEW):
        change_task(task_of(run), {"status": status}, by=SYSTEM)
    assert shown(api, run)["review"]["problem"] == problem
    assert approve(api, run).status_code == 200
    assert task_of(run).status == TaskStatus.DONE
    assert not Merge.objects.exists()


def test_what_another_host_may_have_is_waited_for_a_day(
    agent: Agent, board: Board, repository: Path, sent: list[str]
) -> None:
    run = at_its_limit(agent, board)
    actions.finish(run, by=SYSTEM)
    kept_files_are_lost(repository)
    Worktree.objects.update(host="elsewhere")
    hand_in.hand_in_with_diff(run.pk)
    assert task_of(run).status == TaskStatus.IN_PROGRESS
    finished_days_ago()
    hand_in.hand_in_with_diff(run.pk)
    assert approval_of(run).payload["problem"]["code"] == "WORKTREE_TREE_MISSING"


def test_a_repository_that_is_away_for_a_day_is_a_persons_to_see(
    agent: Agent, board: Board, repository: Path, sent: list[str]
) -> None:
    run = at_its_limit(agent, board)
    actions.finish(run, by=SYSTEM)
    repository.rename(repository.with_name("away"))
    finished_days_ago()
    hand_in.hand_in_with_diff(run.pk)
    assert approval_of(run).payload["problem"]["code"] == "NOT_A_GIT_REPOSITORY"


def test_a_busy_repository_is_waited_for_however_long(
    agent: Agent, board: Board, repository: Path, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = at_its_limit(agent, board)
    actions.finish(run, by=SYSTEM)
    finished_days_ago()
    monkeypatch.setattr(places, "LOCK_SECONDS", 0.1)
    with places.repository_lock(repository / ".git"):
        hand_in.hand_in_with_diff(run.pk)
    assert task_of(run).status == TaskStatus.IN_PROGRESS
    hand_in.hand_in_with_diff(run.pk)
    assert "problem" not in approval_of(run).payload


def test_a_gate_that_refuses_lost_work_loses_no_word_of_it(
    agent: Agent, board: Board, repository: Path, sent: list[str]
) -> None:
    run = at_its_limit(agent, board)
    Board.objects.update(only_lead_can_change_status=True)
    actions.finish(run, by=SYSTEM)
    kept_files_are_lost(repository)
    hand_in.hand_in_with_diff(run.pk)
    [line] = lines(run)
    assert (line["refused"], line["problem"]["code"]) == ("LEAD_REQUIRED", "WORKTREE_TREE_MISSING")


def one_that_waits_and_one_that_is_lost(
    agent: Agent, board: Board, monkeypatch: pytest.MonkeyPatch
) -> Execution:
    """The latter, of which the sweep sees one at a time; the former was tried less lately."""
    stuck = at_its_limit(agent, board)
    actions.finish(stuck, by=SYSTEM)
    Agent.objects.update(max_turns=50)
    agent.refresh_from_db()
    with monkeypatch.context() as patch:
        without_follower(patch)
        run = worked(agent, board)
    for each, hours in ((stuck, 2), (run, 1)):
        earlier = timezone.now() - timedelta(hours=hours)
        Execution.objects.filter(pk=each.pk).update(sent_at=earlier, finished_at=earlier)
    monkeypatch.setattr(hand_in, "BATCH", 1)
    return run


def test_what_waits_for_its_diff_holds_up_nothing_else(
    agent: Agent, board: Board, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = one_that_waits_and_one_that_is_lost(agent, board, monkeypatch)
    hand_in.hand_in_left()
    assert task_of(run).status == TaskStatus.IN_PROGRESS
    hand_in.hand_in_left()
    assert task_of(run).status == TaskStatus.REVIEW
    assert len(sent) == 2


def test_what_fails_each_time_holds_up_nothing_else(
    agent: Agent, board: Board, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = one_that_waits_and_one_that_is_lost(agent, board, monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(hand_in, "_call_a_worker", lambda _: 1 / 0)
        hand_in.hand_in_left()
    assert task_of(run).status == TaskStatus.IN_PROGRESS
    hand_in.hand_in_left()
    assert task_of(run).status == TaskStatus.REVIEW


def test_who_is_named_in_the_answer_hears_of_it(agent: Agent, board: Board) -> None:
    other = a_worker_of(board)
    worked(agent, board, {"say": f"Done, @{other.slug}."})
    assert Message.objects.filter(recipient=other, kind=MessageKind.MENTION).exists()


def test_a_board_without_a_repository_hands_in_too() -> None:
    board = a_board(an_organization())
    run = worked(a_worker_of(board), board)
    assert approval_of(run).payload["files"] == 1
