"""Random lives of a board's tasks, by every actor, and the rules after each step."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from agents.activity import SYSTEM, Actor
from agents.errors import Refusal
from agents.models import ActorKind
from boards.actions import (
    ask_approval,
    change_task,
    claim_task,
    comment_on,
    configure_board,
    create_task,
    decide_approval,
    delete_task,
    move_task,
)
from boards.actions.approvals import ApprovalRequest
from boards.models import Approval, Comment, Dependency, Move, Task, TaskStatus
from tests.factories import acting, make_board, make_member, make_organization, make_seat
from tests.long_form import IS_LONG

FLAGS = (
    "block_status_changes_with_pending_approval",
    "require_review_before_done",
    "require_approval_for_done",
    "comment_required_for_review",
    "only_lead_can_change_status",
)
# A life takes a second or two.
EXAMPLES = 300 if IS_LONG else 20
ACTORS = st.sampled_from(["operator", "lead", "worker", "other"])
STATUSES = st.sampled_from(TaskStatus.values)


class TaskLife(RuleBasedStateMachine):
    """Each example is a transaction of its own, which is undone."""

    tasks = Bundle("tasks")
    approvals = Bundle("approvals")

    @initialize(target=tasks, flags=st.fixed_dictionaries({flag: st.booleans() for flag in FLAGS}))
    def begin(self, flags: dict[str, bool]) -> Any:
        organization = make_organization()
        self.board = make_board(organization, **flags)
        lead, worker, other = (
            make_seat(self.board, "lead"),
            make_seat(self.board),
            make_seat(self.board),
        )
        self.agents = {"lead": lead, "worker": worker, "other": other}
        person = make_member(organization).user
        self.actors = {
            "operator": Actor(ActorKind.MEMBER, person.id, "Olga"),
            **{name: acting(agent) for name, agent in self.agents.items()},
        }
        # What was seen of each task before the step, and whether the last step was refused.
        self.before: dict[Any, tuple[str, Any]] = {}
        self.was_refused = False
        # Most rules are about a task: without any, little would happen.
        return multiple(*(create_task(self.board, {"title": "T"}, by=SYSTEM) for _ in range(3)))

    def _do(self, act: Callable[[], Any]) -> Any:
        self.before = {
            row[0]: (row[1], row[2])
            for row in Task.objects.values_list("pk", "status", "assigned_agent_id")
        }
        self.moves = Move.objects.count()
        self.was_refused = False
        try:
            with transaction.atomic():
                return act()
        except Refusal:
            self.was_refused = True
            return None

    @rule(target=tasks, who=ACTORS, status=STATUSES, waits=st.lists(tasks, max_size=2))
    def create(self, who: str, status: str, waits: list[Task]) -> Any:
        fields = {
            "title": "A task",
            "status": status,
            "depends_on_task_ids": [task.pk for task in waits if self._is_there(task)],
        }
        made = self._do(lambda: create_task(self.board, fields, by=self.actors[who]))
        if made and made.status == TaskStatus.DONE:
            assert not self.board.require_approval_for_done
            assert not self.board.require_review_before_done
        return made if made else multiple()

    @rule(task=tasks, who=ACTORS, status=STATUSES, comment=st.booleans())
    def move(self, task: Task, who: str, status: str, comment: bool) -> None:
        if not self._is_there(task):
            return
        if comment and who != "lead":
            changes = {"status": status, "comment": "So."}
            self._do(lambda: change_task(task, changes, by=self.actors[who]))
        else:
            self._do(lambda: move_task(task, status=status, by=self.actors[who]))
        self._check_gates(task, who)

    @rule(task=tasks, who=st.sampled_from(["operator", "lead"]))
    def finish(self, task: Task, who: str) -> None:
        if self._is_there(task):
            self._do(lambda: move_task(task, status=TaskStatus.DONE, by=self.actors[who]))
            self._check_gates(task, who)

    @rule(task=tasks, who=ACTORS, to=st.sampled_from(["lead", "worker", "other", None]))
    def assign(self, task: Task, who: str, to: str | None) -> None:
        if self._is_there(task):
            changes = {"assigned_agent": self.agents.get(to or "")}
            self._do(lambda: change_task(task, changes, by=self.actors[who]))

    @rule(task=tasks, to=st.sampled_from(["worker", "other"]))
    def start_by_lead(self, task: Task, to: str) -> None:
        if self._is_there(task):
            changes = {"assigned_agent": self.agents[to], "status": TaskStatus.IN_PROGRESS}
            self._do(lambda: change_task(task, changes, by=self.actors["lead"]))
            self._check_gates(task, "lead")

    @rule(task=tasks, who=st.sampled_from(["worker", "other", "lead"]))
    def claim(self, task: Task, who: str) -> None:
        if self._is_there(task):
            self._do(lambda: claim_task(task, by=self.actors[who]))
            self._check_gates(task, who)

    @rule(task=tasks, who=ACTORS, waits=st.lists(tasks, max_size=2))
    def depend(self, task: Task, who: str, waits: list[Task]) -> None:
        if self._is_there(task):
            ids = [each.pk for each in waits if self._is_there(each)]
            self._do(lambda: change_task(task, {"depends_on_task_ids": ids}, by=self.actors[who]))

    @rule(task=tasks, who=ACTORS)
    def comment(self, task: Task, who: str) -> None:
        if self._is_there(task):
            self._do(lambda: comment_on(task, "Words.", by=self.actors[who]))

    @rule(task=tasks, after=st.none() | tasks)
    def place(self, task: Task, after: Task | None) -> None:
        if self._is_there(task):
            behind = after.pk if after else None
            self._do(lambda: move_task(task, after=behind, by=self.actors["operator"]))

    @rule(target=approvals, task=tasks, who=ACTORS)
    def ask(self, task: Task, who: str) -> Any:
        if not self._is_there(task):
            return multiple()
        request = ApprovalRequest(action_type="finish", reason="Ready.", task_ids=(task.pk,))
        made = self._do(lambda: ask_approval(self.board, request, by=self.actors[who]))
        return made if made else multiple()

    @rule(approval=approvals, who=ACTORS, approve=st.booleans())
    def decide(self, approval: Approval, who: str, approve: bool) -> None:
        before = Approval.objects.get(pk=approval.pk)
        self._do(lambda: decide_approval(approval, approve=approve, reason="", by=self.actors[who]))
        if not self.was_refused:
            assert before.status == "pending"
            assert who == "operator"
            assert before.requester_id != self.actors["operator"].id

    @rule(task=tasks, who=ACTORS)
    def delete(self, task: Task, who: str) -> None:
        if self._is_there(task):
            self._do(lambda: delete_task(task, by=self.actors[who]))
            assert self.was_refused or who in {"operator", "lead"}

    @rule(flag=st.sampled_from(FLAGS), value=st.booleans())
    def switch(self, flag: str, value: bool) -> None:
        self._do(lambda: configure_board(self.board, {flag: value}, by=SYSTEM))
        self.board.refresh_from_db()

    # --- what holds ------------------------------------------------------------------------------

    def _is_there(self, task: Task) -> bool:
        return Task.objects.filter(pk=task.pk).exists()

    def _check_gates(self, task: Task, who: str) -> None:
        """What must have been true for the move that was just made."""
        now = Task.objects.get(pk=task.pk)
        came_from = self.before[task.pk][0]
        if self.was_refused or now.status == came_from:
            return
        links = now.approval_links
        if self.board.block_status_changes_with_pending_approval:
            assert not links.filter(is_open=True).exists()
        if self.board.only_lead_can_change_status:
            assert who in {"operator", "lead"}
        if now.status == TaskStatus.DONE:
            assert came_from == TaskStatus.REVIEW or not self.board.require_review_before_done
            decided = Approval.objects.filter(tasks=now, status__in=["approved", "rejected"])
            since = decided.filter(decided_at__gte=now.review_at) if now.review_at else decided
            newest = since.order_by("-decided_at").first()
            is_approved = newest is not None and newest.status == "approved"
            assert is_approved or not self.board.require_approval_for_done
            assert who in {"operator", "lead"}
        if now.status == TaskStatus.REVIEW and self.board.comment_required_for_review:
            comments = Comment.objects.filter(task=now)
            if now.started_at:
                comments = comments.filter(created_at__gte=now.started_at)
            assert comments.exists()

    @invariant()
    def a_refusal_changes_nothing(self) -> None:
        if getattr(self, "was_refused", False):
            rows = Task.objects.values_list("pk", "status", "assigned_agent_id")
            assert {row[0]: (row[1], row[2]) for row in rows} == self.before
            assert Move.objects.count() == self.moves

    @invariant()
    def what_waits_is_untouched(self) -> None:
        waiting = Dependency.objects.exclude(on__status="done").exclude(task__status="done")
        for dependency in waiting.select_related("task"):
            task = dependency.task
            assert (task.status, task.assigned_agent_id) == ("inbox", None), task

    @invariant()
    def nothing_waits_in_a_circle(self) -> None:
        edges: dict[Any, list[Any]] = {}
        for task_id, on_id in Dependency.objects.values_list("task_id", "on_id"):
            edges.setdefault(task_id, []).append(on_id)
        while leaves := [each for each in edges if not any(on in edges for on in edges[each])]:
            for leaf in leaves:
                del edges[leaf]
        assert not edges

    @invariant()
    def places_differ_within_a_column(self) -> None:
        places = list(Task.objects.values_list("status", "position"))
        assert len(places) == len(set(places))

    @invariant()
    def the_history_ends_where_the_task_is(self) -> None:
        for task in Task.objects.prefetch_related("moves"):
            moves = list(task.moves.all())
            if moves:
                assert moves[0].after == task.status
            for later, earlier in itertools.pairwise(moves):
                assert later.before == earlier.after

    @invariant()
    def one_pending_approval_a_task(self) -> None:
        for task in Task.objects.prefetch_related("approval_links"):
            assert sum(link.is_open for link in task.approval_links.all()) <= 1


@pytest.mark.django_db
def test_no_way_leads_around_the_rules() -> None:
    class InATransaction(TaskLife):
        def __init__(self) -> None:
            super().__init__()
            self.point = transaction.savepoint()

        def teardown(self) -> None:
            transaction.savepoint_rollback(self.point)

    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        InATransaction,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            # Making a failing life shorter would take minutes, each step being a transaction.
            phases=[Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
