"""What operators ask of agents and tasks in the admin, on pages that floors below have made."""

from __future__ import annotations

from functools import partial

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from agents.activity import Actor
from agents.admin.agents import AgentPage
from agents.models import Agent
from boards.admin.tasks import TaskPage
from boards.models import Task
from executions import at_work
from executions.at_work import Terms
from executions.models import Execution

admin.site.unregister([Agent, Task])


def _may_control(request: HttpRequest) -> bool:
    """Who may change executions may start and stop them."""
    return bool(request.user.has_perm("executions.change_execution"))


@admin.register(Agent)
class AgentAtWorkPage(AgentPage):
    """Agents, and what they have at work."""

    actions = ("start", "stop", *AgentPage.actions)

    def has_control_permission(self, request: HttpRequest) -> bool:
        return _may_control(request)

    @admin.action(description="Start on the next task", permissions=["control"])
    def start(self, request: HttpRequest, rows: QuerySet[Agent]) -> None:
        start = partial(at_work.start_next, terms=Terms())
        self.for_each(request, rows, start, "Agents started")

    @admin.action(description="Stop", permissions=["control"])
    def stop(self, request: HttpRequest, rows: QuerySet[Agent]) -> None:
        self.for_each(request, rows, at_work.stop, "Agents stopped")

    @admin.action(description="Pause", permissions=["change"])
    def pause(self, request: HttpRequest, rows: QuerySet[Agent]) -> None:
        self.for_each(request, rows, at_work.pause, "Agents paused")

    @admin.action(description="Resume", permissions=["change"])
    def unpause(self, request: HttpRequest, rows: QuerySet[Agent]) -> None:
        self.for_each(request, rows, at_work.resume, "Agents resumed")


@admin.register(Task)
class TaskAtWorkPage(TaskPage):
    """The cards on boards, and starting work on them."""

    actions = ("start",)

    def has_control_permission(self, request: HttpRequest) -> bool:
        return _may_control(request)

    @admin.action(description="Start", permissions=["control"])
    def start(self, request: HttpRequest, rows: QuerySet[Task]) -> None:
        found = rows.select_related("board", "assigned_agent", "handed_in_by")
        self.for_each(request, found, _start, "Tasks started")


def _start(task: Task, *, by: Actor) -> Execution:
    return at_work.start_on(task, at_work.agent_of(task), Terms(), by=by)
