"""The operators' endpoints of tasks."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from agents.collections import Creating, Fields, Versioned
from agents.filters import Filters, Words, YesOrNo, newest
from agents.rest.etag import etag_of
from agents.rest.idempotency import IdempotentMixin
from agents.rest.pagination import NewestFirst
from agents.rest.permissions import TenantMixin
from boards import actions
from boards.actions.boards import locked_board
from boards.models import Comment, Move, Task, TaskStatus
from boards.queries import as_cards
from boards.serializers.tasks import (
    CommentSerializer,
    DependenciesSerializer,
    MoveOrderSerializer,
    MoveSerializer,
    TaskSerializer,
)
from boards.views.below import BOARD_ID, BOARDS_CHANGES, OnBoard

TASK_ID = OpenApiParameter("task_id", OpenApiTypes.UUID, OpenApiParameter.PATH)


# How many tasks a search looks into.
NEWEST = 25_000


class TaskFilter(Filters):
    """Which tasks of a board; `status` takes several with commas between.

    `search` looks into the titles of the newest 25,000 that the other filters leave.
    """

    status = Words(choices=TaskStatus.choices)
    assigned_agent = filters.UUIDFilter(field_name="assigned_agent_id")
    unassigned = YesOrNo(field_name="assigned_agent", lookup_expr="isnull")
    tag = filters.UUIDFilter(field_name="tags")
    search = filters.CharFilter(method="titled", max_length=200)

    class Meta:
        model = Task
        fields: list[str] = []

    def titled(self, rows: QuerySet[Task], name: str, text: str) -> QuerySet[Task]:
        # No index serves a part of a title: a bound keeps the walk short.
        return newest(rows, NEWEST, within="board_id").filter(title__icontains=text)


@extend_schema_view(
    list=extend_schema(summary="List the tasks of a board"),
    create=extend_schema(summary="Create a task"),
    retrieve=extend_schema(summary="Read a task"),
    partial_update=extend_schema(summary="Change a task"),
    destroy=extend_schema(summary="Delete a task"),
)
@extend_schema(parameters=[BOARD_ID])
class TaskViewSet(OnBoard, Versioned[Task]):  # type: ignore[misc]  # As in Collection.
    queryset = Task.objects.all()
    serializer_class = TaskSerializer
    filterset_class = TaskFilter
    required_scope = BOARDS_CHANGES
    tenant_path = "board__organization"
    lookup_url_kwarg = "task_id"
    conditional_actions = ("move",)

    def lock(self, row: Task) -> None:
        # In the order of locks: the board first, as every change of a task does.
        locked_board(self.board)
        super().lock(row)

    def get_queryset(self) -> QuerySet[Task]:
        return as_cards(super().get_queryset())

    def add(self, fields: Fields) -> Task:
        return self._card(actions.create_task(self.board, fields, by=self.actor))

    def change(self, found: Task, fields: Fields) -> Task:
        return self._card(actions.change_task(found, fields, by=self.actor))

    def perform_destroy(self, instance: Task) -> None:
        actions.delete_task(instance, by=self.actor)

    @extend_schema(
        summary="Move a task to a column, or to another place in it",
        request=MoveOrderSerializer,
        responses=TaskSerializer,
    )
    @action(detail=True, methods=["post"])
    def move(self, request: Request, **kwargs: Any) -> Response:
        order = MoveOrderSerializer(data=request.data)
        order.is_valid(raise_exception=True)
        moved = actions.move_task(self.get_object(), by=self.actor, **order.validated_data)
        moved = self._card(moved)
        return Response(TaskSerializer(moved).data, headers={"ETag": etag_of(moved)})

    @extend_schema(summary="Read what a task waits for", responses=DependenciesSerializer)
    @action(detail=True)
    def dependencies(self, request: Request, **kwargs: Any) -> Response:
        return Response(self._dependencies(self.get_object()))

    @extend_schema(
        summary="Set what a task waits for",
        request=DependenciesSerializer,
        responses=DependenciesSerializer,
    )
    @dependencies.mapping.put
    def set_dependencies(self, request: Request, **kwargs: Any) -> Response:
        wanted = DependenciesSerializer(data=request.data)
        wanted.is_valid(raise_exception=True)
        changed = actions.change_task(self.get_object(), wanted.validated_data, by=self.actor)
        return Response(self._dependencies(self._card(changed)))

    def _card(self, task: Task) -> Task:
        return as_cards(Task.objects.filter(pk=task.pk)).get()

    def _dependencies(self, task: Task) -> dict[str, Any]:
        shown = TaskSerializer(task).data
        return {name: shown[name] for name in ("depends_on_task_ids", "blocked_by_task_ids")}


class OnTask(OnBoard):
    """For collections below a task of a board."""

    pagination_class = NewestFirst

    @cached_property
    def task(self) -> Task:
        tasks = Task.objects.select_related("board").filter(board=self.board)
        return get_object_or_404(tasks, pk=self.kwargs["task_id"])

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        _ = self.task

    def get_queryset(self) -> QuerySet[Any]:
        rows: QuerySet[Any] = super(OnBoard, self).get_queryset()  # type: ignore[misc]  # GenericAPIView's.
        if getattr(self, "swagger_fake_view", False):
            return rows
        return rows.filter(task=self.task)


class OldestFirst(NewestFirst):
    """Pages in the order of creation."""

    ordering = "id"


@extend_schema_view(
    list=extend_schema(summary="List the comments on a task, oldest first"),
    create=extend_schema(summary="Comment on a task"),
)
@extend_schema(parameters=[BOARD_ID, TASK_ID])
class CommentViewSet(  # type: ignore[misc]  # As in Collection.
    OnTask,
    TenantMixin,
    IdempotentMixin,
    Creating,
    mixins.ListModelMixin,
    viewsets.GenericViewSet[Comment],
):
    queryset = Comment.objects.prefetch_related("mentioned")
    serializer_class = CommentSerializer
    pagination_class = OldestFirst
    required_scope = BOARDS_CHANGES
    tenant_path = "task__board__organization"

    def add(self, fields: Fields) -> Comment:
        return actions.comment_on(self.task, fields["content"], by=self.actor)


@extend_schema_view(list=extend_schema(summary="List the moves of a task, newest first"))
@extend_schema(parameters=[BOARD_ID, TASK_ID])
class MoveViewSet(  # type: ignore[misc]  # As in Collection.
    OnTask, TenantMixin, mixins.ListModelMixin, viewsets.GenericViewSet[Move]
):
    queryset = Move.objects.all()
    serializer_class = MoveSerializer
    tenant_path = "task__board__organization"
