"""The entries of an execution as JSON lines, read page by page while they are sent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from uuid import UUID

from asgiref.sync import sync_to_async
from django.http import HttpRequest, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.renderers import JSONRenderer

from agents.models import Role, Scope
from agents.rest.authentication import authenticate
from agents.rest.filters import require_known
from agents.rest.permissions import check_may
from agents.rest.plain_views import Operation, documented
from agents.rest.waiting import leave_thread
from agents.watching.looks import look
from executions import lines
from executions.models import Execution
from executions.remote.bodies import AfterSerializer
from executions.remote.run import seen
from executions.remote.views import EPOCH, TAGS, check_key
from executions.transcript_serializers import EntrySerializer

MEDIA_TYPE = "application/jsonl"
PAGE = 500


async def _entries(request: HttpRequest, exec_id: UUID) -> StreamingHttpResponse:
    """The entries after a position up to the last that there is now."""
    execution, after = await sync_to_async(_opened)(request, exec_id)
    return StreamingHttpResponse(_lines(execution, after), content_type=MEDIA_TYPE)


def _opened(request: HttpRequest, exec_id: UUID) -> tuple[Execution, int]:
    caller = authenticate(request)
    check_may(caller, Role.OPERATOR, Scope.DISPATCH)
    check_key(caller)
    assert caller.organization is not None, "a key has one"
    require_known(request, ("epoch", "after"))
    asked = AfterSerializer(data=request.GET)
    asked.is_valid(raise_exception=True)
    found = seen(caller.organization, exec_id, asked.validated_data["epoch"])
    return found, asked.validated_data["after"]


async def _lines(execution: Execution, after: int) -> AsyncIterator[bytes]:
    # Here, since the middleware that follows the view has used the request's thread again.
    await leave_thread()
    while after < execution.position:
        page = await look(partial(_page, execution, after))
        for position, line in page:
            after = position
            yield line
        if len(page) < PAGE:
            return


def _page(execution: Execution, after: int) -> list[tuple[int, bytes]]:
    """Of the whole line: a past that it shares with its originals is among it."""
    rows = lines.entries(execution).filter(position__gt=after, position__lte=execution.position)
    return [
        (row.position, JSONRenderer().render(EntrySerializer(row).data) + b"\n")
        for row in rows[:PAGE]
    ]


entries = documented(
    _entries,
    get=Operation(
        operation_id="dispatch_entries_read",
        summary="Read the entries",
        description="The conversation in order, one entry a line.",
        responses={(200, MEDIA_TYPE): OpenApiTypes.STR},
        parameters=[EPOCH, OpenApiParameter("after", int, description="A position.")],
        problems=(409, 422),
        tags=TAGS,
    ),
)
