"""Tasks as agents and operators change them: claims, hand-overs, dependencies, comments, places."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError
from django.utils import timezone

from agents.activity import SYSTEM
from agents.errors import Refusal
from agents.models import Activity, Message
from boards.actions import (
    change_task,
    claim_task,
    comment_on,
    create_task,
    delete_task,
    move_task,
)
from boards.errors import (
    ApprovalRequired,
    AssigneeElsewhere,
    AssigneeIsLead,
    CommentNotAllowed,
    CommentRequired,
    DependencyCycle,
    EmptyComment,
    FieldNotAllowed,
    ForeignAgent,
    LeadsOnly,
    MoveNotAllowed,
    NotOnThisBoard,
    TaskBlocked,
    TaskClaimed,
    TaskNotYours,
    UnknownTasks,
    WaitsForItself,
)
from boards.models import Approval, ApprovalStatus, ApprovalTask, Dependency, Task
from tests.factories import (
    acting,
    make_agent,
    make_board,
    make_organization,
    make_seat,
    make_task,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization():
    return make_organization()


@pytest.fixture
def board(organization):
    return make_board(organization)


@pytest.fixture
def lead(board):
    return make_seat(board, "lead", name="Lena Lead")


@pytest.fixture
def worker(board):
    return make_seat(board, name="Wim")


@pytest.fixture
def other(board):
    return make_seat(board, name="Otto")


def decided(task, status=ApprovalStatus.APPROVED, **fields):
    """A decision about the task, by somebody who may decide."""
    approval = Approval.objects.create(
        board=task.board,
        action_type="finish",
        reason="It is done.",
        status=status,
        requester_kind="agent",
        decided_at=fields.pop("decided_at", timezone.now()),
        **fields,
    )
    ApprovalTask.objects.create(approval=approval, task=task, is_open=False)
    return approval


def told(agent):
    return list(Message.objects.filter(recipient=agent).values_list("kind", flat=True))


# --- claims and hand-overs ----------------------------------------------------------------------


def test_a_claim_starts_the_task_for_the_claimer(board, worker, other) -> None:
    task = claim_task(make_task(board), by=acting(worker))
    assert (task.status, task.assigned_agent_id) == ("in_progress", worker.id)
    assert task.started_at is not None
    assert claim_task(task, by=acting(worker)).status == "in_progress"
    with pytest.raises(TaskClaimed):
        claim_task(task, by=acting(other))
    assert task.moves.count() == 1


@pytest.mark.parametrize("status", ["review", "done"])
def test_what_is_past_its_start_is_not_claimed(board, worker, status) -> None:
    board.require_approval_for_done = False
    board.save()
    with pytest.raises(TaskClaimed):
        claim_task(make_task(board, status=status), by=acting(worker))


def test_a_started_task_that_nobody_has_is_given_to_one(board, worker, other) -> None:
    task = claim_task(make_task(board, status="in_progress"), by=acting(worker))
    assert (task.status, task.assigned_agent_id) == ("in_progress", worker.id)
    with pytest.raises(TaskClaimed):
        claim_task(task, by=acting(other))
    left = make_task(board, status="in_progress")
    change_task(left, {"status": "in_progress"}, by=acting(worker))
    left.refresh_from_db()
    assert left.assigned_agent_id == worker.id


def test_a_lead_starts_what_somebody_has_already(board, lead, worker) -> None:
    task = make_task(board, assigned_agent=worker)
    with pytest.raises(MoveNotAllowed):
        change_task(task, {"status": "in_progress"}, by=acting(lead))
    task = change_task(task, {"status": "in_progress", "assigned_agent": worker}, by=acting(lead))
    assert (task.status, task.assigned_agent_id) == ("in_progress", worker.id)


def test_who_is_named_in_the_call_keeps_the_task(board, lead, worker, other) -> None:
    task = claim_task(make_task(board), by=acting(worker))
    task = change_task(task, {"status": "review", "assigned_agent": worker}, by=SYSTEM)
    assert (task.assigned_agent_id, task.handed_in_by_id) == (worker.id, worker.id)
    task = change_task(task, {"assigned_agent": other}, by=SYSTEM)
    task = change_task(task, {"status": "inbox", "assigned_agent": other}, by=SYSTEM)
    assert task.assigned_agent_id == other.id


def test_what_nobody_had_goes_back_to_who_handed_it_in(board, lead, worker, other) -> None:
    task = change_task(in_review(board, worker), {"status": "inbox"}, by=acting(lead))
    fields = {"status": "in_progress", "assigned_agent": None}
    task = change_task(task, fields, by=SYSTEM)
    task = change_task(task, {"status": "review"}, by=acting(other))
    task = change_task(task, {"status": "inbox"}, by=acting(lead))
    assert task.assigned_agent_id == other.id


def test_review_goes_to_the_lead_and_back_to_who_handed_in(board, lead, worker) -> None:
    task = claim_task(make_task(board), by=acting(worker))
    task = change_task(task, {"status": "review", "comment": "See the diff."}, by=acting(worker))
    assert (task.assigned_agent_id, task.handed_in_by_id) == (lead.id, worker.id)
    assert told(lead) == ["assignment"]
    task = change_task(task, {"status": "inbox"}, by=acting(lead))
    assert (task.status, task.assigned_agent_id) == ("inbox", worker.id)
    assert told(worker) == ["assignment"]


def test_a_worker_who_left_the_board_gets_nothing_back(board, lead, worker) -> None:
    task = claim_task(make_task(board), by=acting(worker))
    task = change_task(task, {"status": "review"}, by=acting(worker))
    worker.seat.delete()
    task = change_task(task, {"status": "inbox"}, by=acting(lead))
    assert task.assigned_agent_id is None


def test_a_release_unassigns(board, worker) -> None:
    task = claim_task(make_task(board), by=acting(worker))
    task = change_task(task, {"status": "inbox"}, by=acting(worker))
    assert (task.status, task.assigned_agent_id) == ("inbox", None)


def test_a_worker_leaves_the_task_of_another_alone(board, worker, other) -> None:
    task = claim_task(make_task(board), by=acting(worker))
    with pytest.raises(TaskNotYours):
        change_task(task, {"status": "review"}, by=acting(other))


def test_an_agent_without_a_seat_on_the_board_changes_nothing(organization, board) -> None:
    task, stranger = make_task(board), make_agent(organization)
    elsewhere = make_seat(make_board(organization))
    for agent in (stranger, elsewhere):
        with pytest.raises(NotOnThisBoard):
            change_task(task, {"status": "in_progress"}, by=acting(agent))
        with pytest.raises(NotOnThisBoard):
            comment_on(task, "Hello", by=acting(agent))


def test_only_leads_create_and_delete(board, lead, worker) -> None:
    with pytest.raises(LeadsOnly):
        create_task(board, {"title": "T"}, by=acting(worker))
    task = create_task(board, {"title": "T", "assigned_agent": worker}, by=acting(lead))
    assert (task.auto_created, task.auto_reason) == (True, f"lead_agent:{lead.id}")
    assert task.created_by_agent_id == lead.id
    with pytest.raises(LeadsOnly):
        delete_task(task, by=acting(worker))
    delete_task(task, by=acting(lead))
    assert not Task.objects.exists()
    assert Activity.objects.filter(task_id=task.id, type="task.deleted").exists()


def test_who_can_be_given_a_task(organization, board, lead, worker) -> None:
    task = make_task(board)
    foreign, main = make_agent(make_organization()), make_agent(organization)
    elsewhere = make_seat(make_board(organization))
    expected = {lead: AssigneeIsLead, main: ForeignAgent, elsewhere: AssigneeElsewhere}
    for agent, refusal in {**expected, foreign: ForeignAgent}.items():
        with pytest.raises(refusal):
            change_task(task, {"assigned_agent": agent}, by=acting(lead))
    for agent, refusal in {elsewhere: AssigneeElsewhere, foreign: ForeignAgent}.items():
        with pytest.raises(refusal):
            change_task(task, {"assigned_agent": agent}, by=SYSTEM)
    for agent in (lead, main, worker):
        assert change_task(task, {"assigned_agent": agent}, by=SYSTEM).assigned_agent_id == agent.id


# --- gates --------------------------------------------------------------------------------------


def in_review(board, worker):
    task = claim_task(make_task(board), by=acting(worker))
    return change_task(task, {"status": "review"}, by=acting(worker))


def test_done_needs_an_approval_decided_since_review(board, lead, worker) -> None:
    task = claim_task(make_task(board), by=acting(worker))
    decided(task)
    task = change_task(task, {"status": "review"}, by=acting(worker))
    with pytest.raises(ApprovalRequired):
        change_task(task, {"status": "done"}, by=acting(lead))
    decided(task)
    assert change_task(task, {"status": "done"}, by=acting(lead)).done_at is not None


def test_the_newest_decision_counts(board, worker) -> None:
    task = in_review(board, worker)
    decided(task)
    decided(task, ApprovalStatus.REJECTED, decided_at=timezone.now() + timedelta(seconds=1))
    decided(task, ApprovalStatus.WITHDRAWN, decided_at=timezone.now() + timedelta(seconds=2))
    with pytest.raises(ApprovalRequired):
        move_task(task, status="done", by=SYSTEM)


def test_an_approval_of_another_task_does_not_count(board, worker) -> None:
    task = in_review(board, worker)
    decided(make_task(board))
    with pytest.raises(ApprovalRequired):
        change_task(task, {"status": "done"}, by=SYSTEM)


def test_a_comment_from_before_the_start_does_not_count(board, worker) -> None:
    board.comment_required_for_review = True
    board.save()
    task = make_task(board)
    comment_on(task, "Soon.", by=SYSTEM)
    task = claim_task(task, by=acting(worker))
    with pytest.raises(CommentRequired):
        change_task(task, {"status": "review"}, by=acting(worker))
    assert change_task(task, {"status": "review", "comment": "Done."}, by=acting(worker))


def test_a_refused_change_writes_nothing(board, worker) -> None:
    task = claim_task(make_task(board), by=acting(worker))
    before = Activity.objects.count()
    with pytest.raises(Refusal):
        change_task(task, {"comment": "Mine!", "title": "New"}, by=acting(worker))
    assert not task.comments.exists()
    assert Activity.objects.count() == before
    with pytest.raises(FieldNotAllowed) as refused:
        change_task(task, {"title": "New"}, by=acting(worker))
    assert refused.value.facts["fields"] == ["title"]


# --- dependencies -------------------------------------------------------------------------------


def test_a_blocked_task_says_by_what(board, worker) -> None:
    first = make_task(board)
    second = make_task(board, depends_on_task_ids=[first.id])
    with pytest.raises(TaskBlocked) as refused:
        claim_task(second, by=acting(worker))
    assert refused.value.facts["blocked_by_task_ids"] == [first.id]
    change_task(second, {"title": "Other words"}, by=SYSTEM)
    board.require_approval_for_done = False
    board.save()
    change_task(first, {"status": "done"}, by=SYSTEM)
    assert claim_task(second, by=acting(worker)).status == "in_progress"


@pytest.mark.parametrize("more", [{"status": "in_progress"}, {"assigned_agent": True}])
def test_a_blocked_task_is_created_in_the_inbox_with_nobody(board, worker, more) -> None:
    fields = {"title": "T", "depends_on_task_ids": [make_task(board).id], **more}
    if "assigned_agent" in fields:
        fields["assigned_agent"] = worker
    with pytest.raises(TaskBlocked):
        create_task(board, fields, by=SYSTEM)


def test_no_task_waits_for_itself_by_any_way(board) -> None:
    first = make_task(board)
    second = make_task(board, depends_on_task_ids=[first.id])
    third = make_task(board, depends_on_task_ids=[second.id])
    with pytest.raises(WaitsForItself):
        change_task(first, {"depends_on_task_ids": [first.id]}, by=SYSTEM)
    with pytest.raises(DependencyCycle):
        change_task(first, {"depends_on_task_ids": [third.id]}, by=SYSTEM)
    with pytest.raises(IntegrityError):
        Dependency.objects.create(task=first, on=first)


def test_dependencies_are_of_one_board(organization, board) -> None:
    elsewhere = make_task(make_board(organization))
    with pytest.raises(UnknownTasks) as refused:
        create_task(board, {"title": "T", "depends_on_task_ids": [elsewhere.id]}, by=SYSTEM)
    assert refused.value.facts["unknown_task_ids"] == [elsewhere.id]


def test_dependents_go_back_when_what_they_waited_for_reopens(board, worker) -> None:
    board.require_approval_for_done = False
    board.save()
    first = make_task(board, status="done")
    started = make_task(board, depends_on_task_ids=[first.id])
    started = claim_task(started, by=acting(worker))
    over = make_task(board, depends_on_task_ids=[first.id], status="done")
    change_task(first, {"status": "in_progress"}, by=SYSTEM)
    started.refresh_from_db()
    over.refresh_from_db()
    assert (started.status, started.assigned_agent_id) == ("inbox", None)
    assert over.status == "done"
    assert started.moves.first().after == "inbox"


def test_a_task_that_gets_something_to_wait_for_goes_back(board, worker) -> None:
    task = claim_task(make_task(board), by=acting(worker))
    task = change_task(task, {"depends_on_task_ids": [make_task(board).id]}, by=SYSTEM)
    assert (task.status, task.assigned_agent_id) == ("inbox", None)


# --- comments -----------------------------------------------------------------------------------


def test_who_is_told_of_a_comment(board, lead, worker, other) -> None:
    task = claim_task(make_task(board), by=acting(worker))
    comment_on(task, "Please look, @LEAD and @otto!", by=acting(worker))
    assert (told(lead), told(other), told(worker)) == (["mention"], ["mention"], [])
    comment_on(task, "What now? mail@otto.example", by=acting(other))
    assert (told(lead), told(other), told(worker)) == (["mention"], ["mention"], ["comment"])
    comment_on(task, "My own.", by=acting(worker))
    assert told(worker) == ["comment"]


def test_a_longer_name_is_meant(board, other) -> None:
    longer = make_seat(board, name="Otto Two")
    comment_on(make_task(board), "@otto two, see this", by=SYSTEM)
    assert (told(longer), told(other)) == (["mention"], [])


def test_where_a_lead_comments(board, lead, worker) -> None:
    foreign = make_task(board)
    with pytest.raises(CommentNotAllowed):
        comment_on(foreign, "Hurry.", by=acting(lead))
    comment_on(foreign, "Help, @lead", by=acting(worker))
    comment_on(foreign, "Coming.", by=acting(lead))
    comment_on(create_task(board, {"title": "Mine"}, by=acting(lead)), "So.", by=acting(lead))
    comment_on(in_review(board, worker), "Well done.", by=acting(lead))


@pytest.mark.parametrize("words", ["", " \n\t"])
def test_a_comment_has_words(board, words) -> None:
    with pytest.raises(EmptyComment):
        comment_on(make_task(board), words, by=SYSTEM)


# --- places -------------------------------------------------------------------------------------


def order(board, status="inbox"):
    column = Task.objects.filter(board=board, status=status)
    return list(column.order_by("position", "id").values_list("title", flat=True))


def test_a_card_goes_where_it_is_put(board) -> None:
    a, b, c = (make_task(board, title=title) for title in "abc")
    move_task(c, after=None, by=SYSTEM)
    assert order(board) == ["c", "a", "b"]
    move_task(c, after=a.id, by=SYSTEM)
    assert order(board) == ["a", "c", "b"]
    move_task(a, after=b.id, by=SYSTEM)
    assert order(board) == ["c", "b", "a"]
    move_task(b, status="review", after=None, by=SYSTEM)
    assert (order(board), order(board, "review")) == (["c", "a"], ["b"])
    with pytest.raises(UnknownTasks):
        move_task(a, after=b.id, by=SYSTEM)


def test_another_place_in_the_column_is_recorded(board) -> None:
    a, b = (make_task(board, title=title) for title in "ab")
    move_task(b, after=None, by=SYSTEM)
    line = Activity.objects.get(type="task.updated")
    assert (line.task_id, line.data["changed"]) == (b.id, ["position"])
    move_task(a, status="review", after=None, by=SYSTEM)
    assert Activity.objects.filter(task_id=a.id).first().type == "task.moved"


def test_what_is_sent_back_stands_last(board, worker) -> None:
    task = claim_task(make_task(board, title="a"), by=acting(worker))
    waits_for = make_task(board, title="b")
    change_task(task, {"depends_on_task_ids": [waits_for.id]}, by=SYSTEM)
    assert order(board) == ["b", "a"]


def test_there_is_always_room_between_two(board) -> None:
    first, *rest = (make_task(board, title=title) for title in "abc")
    for number in range(60):
        move_task(rest[number % 2], after=first.id, by=SYSTEM)
    assert order(board) == ["a", "c", "b"]
    positions = list(Task.objects.order_by("position").values_list("position", flat=True))
    assert len(set(positions)) == 3
