"""The operators' endpoints of boards, seats and tasks."""

from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from agents.collections import Changing, Collection, Fields, Versioned
from agents.filters import Filters, YesOrNo, containing
from agents.models import Organization, Scope
from boards import actions
from boards.models import Board, Seat, Task, TaskStatus
from boards.serializers import BoardSerializer, SeatSerializer, TaskSerializer

BOARDS_CHANGES = dict.fromkeys(("POST", "PUT", "PATCH", "DELETE"), Scope.BOARDS)
BOARD_ID = OpenApiParameter("board_id", OpenApiTypes.UUID, OpenApiParameter.PATH)


class BoardFilter(Filters):
    """Which boards; `search` looks into name, slug and description."""

    is_paused = YesOrNo()
    search = filters.CharFilter(method=lambda rows, name, text: containing(rows, text))

    class Meta:
        model = Board
        fields: list[str] = []


@extend_schema_view(
    list=extend_schema(summary="List boards"),
    create=extend_schema(summary="Create a board"),
    retrieve=extend_schema(summary="Read a board"),
    partial_update=extend_schema(summary="Configure a board"),
    destroy=extend_schema(summary="Delete a board with its tasks"),
)
class BoardViewSet(Versioned[Board]):
    queryset = Board.objects.all()
    serializer_class = BoardSerializer
    filterset_class = BoardFilter
    required_scope = BOARDS_CHANGES
    lookup_url_kwarg = "board_id"

    def add(self, fields: Fields) -> Board:
        return actions.create_board(self.organization, fields, by=self.actor)

    def change(self, found: Board, fields: Fields) -> Board:
        return actions.configure_board(found, fields, by=self.actor)

    def perform_destroy(self, instance: Board) -> None:
        actions.delete_board(instance, by=self.actor)

    @extend_schema(summary="Pause a board: nothing starts on it", request=None)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, **kwargs: Any) -> Response:
        board = actions.pause_board(self.get_object(), by=self.actor)
        return Response(self.get_serializer(board).data)

    @extend_schema(summary="Let a paused board go on", request=None)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, **kwargs: Any) -> Response:
        board = actions.unpause_board(self.get_object(), by=self.actor)
        return Response(self.get_serializer(board).data)


class OnBoard:
    """For collections below a board; a board of another organization is not there."""

    kwargs: dict[str, Any]
    organization: Organization

    @cached_property
    def board(self) -> Board:
        return get_object_or_404(
            Board.objects.filter(organization=self.organization), pk=self.kwargs["board_id"]
        )

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # type: ignore[misc]  # APIView's.
        # Before the body is looked at: what is wrong with it is nobody's business elsewhere.
        _ = self.board

    def get_queryset(self) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset()  # type: ignore[misc]  # GenericAPIView's.
        if getattr(self, "swagger_fake_view", False):
            return rows
        return rows.filter(board=self.board)


@extend_schema_view(
    list=extend_schema(summary="List the seats of a board"),
    create=extend_schema(summary="Seat an agent"),
    retrieve=extend_schema(summary="Read a seat"),
    partial_update=extend_schema(summary="Give a seat another role"),
    destroy=extend_schema(summary="Take an agent off the board"),
)
@extend_schema(parameters=[BOARD_ID])
class SeatViewSet(OnBoard, Changing, Collection[Seat]):  # type: ignore[misc]  # As in Collection.
    queryset = Seat.objects.all()
    serializer_class = SeatSerializer
    required_scope = BOARDS_CHANGES
    tenant_path = "board__organization"
    lookup_url_kwarg = "seat_id"

    def add(self, fields: Fields) -> Seat:
        return actions.seat_agent(self.board, by=self.actor, **fields)

    def change(self, found: Seat, fields: Fields) -> Seat:
        return actions.change_seat(found, fields.get("role", found.role), by=self.actor)

    def perform_destroy(self, instance: Seat) -> None:
        actions.unseat_agent(instance, by=self.actor)


class TaskFilter(Filters):
    """Which tasks of a board."""

    status = filters.ChoiceFilter(choices=TaskStatus.choices)
    assigned_agent = filters.UUIDFilter(field_name="assigned_agent_id")

    class Meta:
        model = Task
        fields: list[str] = []


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

    def add(self, fields: Fields) -> Task:
        return actions.create_task(self.board, fields, by=self.actor)

    def change(self, found: Task, fields: Fields) -> Task:
        return actions.change_task(found, fields, by=self.actor)

    def perform_destroy(self, instance: Task) -> None:
        actions.delete_task(instance, by=self.actor)
