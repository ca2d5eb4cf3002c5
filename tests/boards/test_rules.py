"""The rules of a task as tables: role matrix, blocked, gates in their order."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from uuid import uuid4

import pytest

from agents.errors import Refusal
from boards.errors import (
    ApprovalPending,
    ApprovalRequired,
    CommentRequired,
    FieldNotAllowed,
    LeadRequired,
    MoveNotAllowed,
    ReviewRequired,
    TaskBlocked,
    TaskNotYours,
)
from boards.models import TaskStatus
from boards.rules import Change, Gates, Part, Standing, check

ME, OTHER, TASK = uuid4(), uuid4(), uuid4()
OPEN = Gates(require_approval_for_done=False)
ALL = Gates(
    block_status_changes_with_pending_approval=True,
    require_review_before_done=True,
    require_approval_for_done=True,
    comment_required_for_review=True,
    only_lead_can_change_status=True,
)


def outcome(change: Change, standing: Standing, gates: Gates = OPEN) -> type[Refusal] | None:
    try:
        check(change, standing, gates)
    except Refusal as refusal:
        return type(refusal)
    return None


def a_move(part: Part, status: str, **more: object) -> Change:
    return Change(part, ME, fields=frozenset({"status"}), status=status, **more)  # type: ignore[arg-type]


WORKERS_MOVES = {("inbox", "in_progress"), ("in_progress", "inbox"), ("in_progress", "review")}
LEADS_MOVES = {("review", "done"), ("review", "inbox")}


@pytest.mark.parametrize(("before", "after"), list(product(TaskStatus.values, repeat=2)))
def test_every_move_of_every_part(before: str, after: str) -> None:
    standing = Standing(status=before, is_approved=True)
    stays = before == after
    assert outcome(a_move(Part.OPERATOR, after), standing) is None
    worker = None if stays or (before, after) in WORKERS_MOVES else MoveNotAllowed
    assert outcome(a_move(Part.WORKER, after), standing) is worker
    lead = None if stays or (before, after) in LEADS_MOVES else MoveNotAllowed
    assert outcome(a_move(Part.LEAD, after), standing) is lead


@pytest.mark.parametrize(("given_to", "refusal"), [(OTHER, None), (None, MoveNotAllowed)])
def test_a_lead_starts_a_task_only_by_giving_it_to_somebody(given_to, refusal) -> None:
    change = a_move(Part.LEAD, "in_progress", assigns=True, assigns_to=given_to)
    assert outcome(change, Standing(status="inbox")) is refusal


FIELDS = (
    "title",
    "description",
    "priority",
    "due_at",
    "assigned_agent",
    "status",
    "depends_on_task_ids",
    "tag_ids",
    "custom_field_values",
    "comment",
)
LEADS = {"assigned_agent", "status", "depends_on_task_ids", "tag_ids", "custom_field_values"}
WORKERS = {"status", "comment", "custom_field_values"}


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_of_every_part(field: str) -> None:
    for part, allowed in ((Part.LEAD, LEADS), (Part.WORKER, WORKERS), (Part.OPERATOR, FIELDS)):
        change = Change(part, ME, fields=frozenset({field}))
        expected = None if field in allowed else FieldNotAllowed
        assert outcome(change, Standing(status="inbox")) is expected, part


@pytest.mark.parametrize(("holder", "refusal"), [(None, None), (ME, None), (OTHER, TaskNotYours)])
def test_a_worker_changes_what_is_its_own_or_nobodys(holder, refusal) -> None:
    standing = Standing(status="in_progress", assigned_to=holder)
    assert outcome(a_move(Part.WORKER, "review"), standing) is refusal
    comment = Change(Part.WORKER, ME, fields=frozenset({"comment"}))
    assert outcome(comment, standing) is refusal


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (Change(Part.OPERATOR, fields=frozenset({"title"})), None),
        (a_move(Part.OPERATOR, "inbox"), None),
        (a_move(Part.OPERATOR, "in_progress"), TaskBlocked),
        (a_move(Part.OPERATOR, "done"), TaskBlocked),
        (Change(Part.OPERATOR, assigns=True, assigns_to=OTHER), TaskBlocked),
        (Change(Part.OPERATOR, assigns=True, assigns_to=None), None),
        (a_move(Part.WORKER, "in_progress"), TaskBlocked),
    ],
)
def test_a_blocked_task_stays_where_it_is_with_nobody(change, refusal) -> None:
    assert outcome(change, Standing(status="inbox", blocked_by=(TASK,))) is refusal


@pytest.mark.parametrize(
    ("status", "refusal"), [(None, None), ("inbox", None), ("in_progress", TaskBlocked)]
)
def test_a_blocked_task_is_created_in_the_inbox_only(status, refusal) -> None:
    change = Change(Part.LEAD, ME, status=status)
    assert outcome(change, Standing(blocked_by=(TASK,))) is refusal


READY = Standing(status="review", is_approved=True, has_comment=True)


@pytest.mark.parametrize(
    ("flag", "change", "standing", "refusal"),
    [
        (
            "block_status_changes_with_pending_approval",
            a_move(Part.OPERATOR, "inbox"),
            replace(READY, pending_approvals=(TASK,)),
            ApprovalPending,
        ),
        (
            "require_review_before_done",
            a_move(Part.OPERATOR, "done"),
            replace(READY, status="in_progress"),
            ReviewRequired,
        ),
        (
            "require_approval_for_done",
            a_move(Part.LEAD, "done"),
            replace(READY, is_approved=False),
            ApprovalRequired,
        ),
        (
            "comment_required_for_review",
            a_move(Part.WORKER, "review"),
            Standing(status="in_progress", assigned_to=ME),
            CommentRequired,
        ),
        (
            "only_lead_can_change_status",
            a_move(Part.WORKER, "in_progress"),
            Standing(status="inbox"),
            LeadRequired,
        ),
    ],
)
def test_each_gate_is_its_flag(flag, change, standing, refusal) -> None:
    assert outcome(change, standing, OPEN) is None
    assert outcome(change, standing, replace(OPEN, **{flag: True})) is refusal
    assert outcome(replace(change, status=None), standing, replace(OPEN, **{flag: True})) is None


def test_the_gates_are_asked_in_their_order() -> None:
    to_done = a_move(Part.OPERATOR, "done")
    standing = Standing(status="in_progress", pending_approvals=(TASK,))
    assert outcome(to_done, standing, ALL) is ApprovalPending
    standing = replace(standing, pending_approvals=())
    assert outcome(to_done, standing, ALL) is ReviewRequired
    standing = replace(standing, status="review")
    assert outcome(to_done, standing, ALL) is ApprovalRequired
    assert outcome(to_done, replace(standing, is_approved=True), ALL) is None


def test_the_gates_of_done_hold_for_creation() -> None:
    created = Change(Part.OPERATOR, status="done")
    assert outcome(created, Standing(), ALL) is ReviewRequired
    assert outcome(created, Standing(), Gates()) is ApprovalRequired
    assert outcome(created, Standing(), OPEN) is None


def test_the_comment_that_comes_along_counts() -> None:
    gates = replace(OPEN, comment_required_for_review=True)
    standing = Standing(status="in_progress", assigned_to=ME)
    assert outcome(a_move(Part.WORKER, "review", brings_comment=True), standing, gates) is None
