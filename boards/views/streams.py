"""The operators' stream of one board's permanent record."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest

from agents.rest.streams import streaming
from agents.views.streams import readable
from agents.watching.feed import Scope
from boards.errors import BoardNotFound
from boards.models import Board


def _board(request: HttpRequest, board_id: UUID) -> Scope:
    organization = readable(request)
    if not Board.objects.filter(organization=organization, pk=board_id).exists():
        raise BoardNotFound
    return Scope(organization.id, board_id=board_id)


stream_of_board = streaming(
    _board, operation_id="boards_stream", summary="Stream the record of a board"
)
