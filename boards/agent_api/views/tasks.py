"""Tasks and comments as agents read and change them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from agents.errors import AgentNotFound
from agents.filters import Filters, Words, YesOrNo
from agents.models import Agent
from boards import actions
from boards.agent_api.base import DONE, AgentViewSet, OkSerializer
from boards.agent_api.operation import operation
from boards.agent_api.serializers import (
    AgentTaskSerializer,
    NewCommentSerializer,
    NewTaskSerializer,
    TaskChangeSerializer,
)
from boards.models import Comment, Task, TaskStatus
from boards.queries import as_cards
from boards.serializers.tasks import CommentSerializer
from boards.views.below import NewestOnBoard
from boards.views.tasks import OldestFirst


class AgentTaskFilter(Filters):
    """Which tasks; `status` takes several with commas between."""

    status = Words(choices=TaskStatus.choices)
    assigned_agent_id = filters.UUIDFilter()
    unassigned = YesOrNo(field_name="assigned_agent", lookup_expr="isnull")

    class Meta:
        model = Task
        fields: list[str] = []


class TaskViewSet(AgentViewSet[Task]):
    queryset = Task.objects.all()
    serializer_class = AgentTaskSerializer
    filterset_class: Any = AgentTaskFilter
    pagination_class = NewestOnBoard

    @operation("agent_board_task_discovery", "List tasks", responses=AgentTaskSerializer(many=True))
    def list(self, request: Request, board_id: UUID) -> Response:
        return self.paged(self._tasks(), AgentTaskSerializer)

    @operation(
        "agent_lead_create_task",
        "Create a task",
        request=NewTaskSerializer,
        responses=AgentTaskSerializer,
    )
    def create(self, request: Request, board_id: UUID) -> Response:
        fields = self._named(self.asked(NewTaskSerializer))
        return self._answer(actions.create_task(self.board, fields, by=self.actor))

    @operation(
        "agent_task_update",
        "Change a task",
        request=TaskChangeSerializer,
        responses=AgentTaskSerializer,
    )
    def partial_update(self, request: Request, board_id: UUID, task_id: UUID) -> Response:
        task = self._task(task_id)
        changes = self._named(self.asked(TaskChangeSerializer))
        return self._answer(actions.change_task(task, changes, by=self.actor))

    @operation("agent_task_delete", "Delete a task", responses=OkSerializer)
    def destroy(self, request: Request, board_id: UUID, task_id: UUID) -> Response:
        actions.delete_task(self._task(task_id), by=self.actor)
        return Response(DONE)

    @operation(
        "agent_board_task_claim", "Claim a task", request=None, responses=AgentTaskSerializer
    )
    def claim(self, request: Request, board_id: UUID, task_id: UUID) -> Response:
        return self._answer(actions.claim_task(self._task(task_id), by=self.actor))

    def _tasks(self) -> QuerySet[Task]:
        return as_cards(Task.objects.filter(board__alike=self.board.id))

    def _task(self, task_id: UUID) -> Task:
        return get_object_or_404(self._tasks(), pk=task_id)

    def _answer(self, task: Task) -> Response:
        return Response(AgentTaskSerializer(self._task(task.pk)).data)

    def _named(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields with the agent that they name. Raises AgentNotFound."""
        named = {**fields}
        if "assigned_agent_id" in named:
            wanted = named.pop("assigned_agent_id")
            named["assigned_agent"] = wanted and self._assignee(wanted)
        return named

    def _assignee(self, agent_id: UUID) -> Agent:
        agents = Agent.objects.filter(organization=self.me.organization)
        found = agents.filter(pk=agent_id).first()
        if found is None:
            raise AgentNotFound
        return found


class CommentViewSet(AgentViewSet[Comment]):
    queryset = Comment.objects.prefetch_related("mentioned")
    serializer_class = CommentSerializer
    pagination_class = OldestFirst

    @cached_property
    def task(self) -> Task:
        rows = Task.objects.select_related("board__organization").filter(board=self.board)
        return get_object_or_404(rows, pk=self.kwargs["task_id"])

    @operation(
        "agent_task_comment_discovery", "List comments", responses=CommentSerializer(many=True)
    )
    def list(self, request: Request, board_id: UUID, task_id: UUID) -> Response:
        return self.paged(self.get_queryset().filter(task=self.task), CommentSerializer)

    @operation(
        "agent_task_comment_create",
        "Comment on a task",
        request=NewCommentSerializer,
        responses=CommentSerializer,
    )
    def create(self, request: Request, board_id: UUID, task_id: UUID) -> Response:
        task, content = self.task, self.asked(NewCommentSerializer)["content"]
        return Response(CommentSerializer(actions.comment_on(task, content, by=self.actor)).data)
