"""What the collections below one board share."""

from functools import cached_property
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request

from agents.models import Organization, Scope
from agents.rest.pagination import NewestFirst
from boards.models import Board

BOARDS_CHANGES = dict.fromkeys(("POST", "PUT", "PATCH", "DELETE"), Scope.BOARDS)
BOARD_ID = OpenApiParameter("board_id", OpenApiTypes.UUID, OpenApiParameter.PATH)


class NewestOnBoard(NewestFirst):
    """Pages of what is on one board, newest first."""

    within = "board_id"


class OnBoard:
    """For collections below a board; a board of another organization is not there."""

    pagination_class: type[NewestFirst] | None = NewestOnBoard
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
        return rows.filter(board__alike=self.board.id)
