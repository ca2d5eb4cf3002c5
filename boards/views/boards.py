"""The operators' endpoints of boards and seats."""

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.collections import Changing, Collection, Fields, Versioned
from agents.filters import Filters, YesOrNo, containing
from boards import actions, queries
from boards.models import Board, Seat
from boards.serializers.boards import BoardSerializer, SeatSerializer
from boards.serializers.snapshot import SnapshotSerializer
from boards.views.below import BOARD_ID, BOARDS_CHANGES, OnBoard


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

    @extend_schema(summary="Read a board with all that is on it", responses=SnapshotSerializer)
    @action(detail=True)
    def snapshot(self, request: Request, **kwargs: Any) -> Response:
        return Response(SnapshotSerializer(queries.snapshot(self.get_object())).data)

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
