"""What an agent that runs itself waits for: its inbox, and all that happens around it."""

from __future__ import annotations

from uuid import UUID

from asgiref.sync import sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from agents.models import Message, MessageState
from agents.receipts import inbox_channel
from agents.rest.authentication import authenticate
from agents.rest.plain_views import in_place_of
from agents.rest.streams import streaming
from agents.rest.waiting import leave_thread
from agents.watching.feed import Scope
from agents.watching.loops import PerLoop
from agents.watching.rooms import Seen, WaitingRoom
from boards.agent_api.guards import check_role, me_of
from boards.agent_api.hints import HINTS
from boards.agent_api.views.talk import InboxViewSet

_inbox = InboxViewSet.as_view({"get": "list"})


@in_place_of(_inbox)
async def inbox(request: HttpRequest) -> HttpResponseBase:
    """The inbox; an empty one after the caller's wait, holding neither thread nor connection."""
    answer = await sync_to_async(_inbox)(request)
    patience = getattr(answer, "patience", None)
    if patience is None:
        return answer
    await leave_thread()
    await _inboxes().wait(patience.agent_id, patience.seconds)
    return await sync_to_async(_inbox)(request)


def _look(agents: list[UUID]) -> dict[UUID, Seen[bool]]:
    """Those of the agents that have something in their inbox."""
    waiting = Message.objects.filter(recipient__in=agents, state=MessageState.DELIVERED)
    found = waiting.order_by().values_list("recipient_id", flat=True).distinct()
    return {agent_id: Seen(thing=True, is_over=True) for agent_id in found if agent_id}


_inboxes = PerLoop(lambda: WaitingRoom(_look, inbox_channel))


def _mine(request: HttpRequest) -> Scope:
    """A seated agent's board, an agent without a seat its organization; its own inbox."""
    me = me_of(authenticate(request))
    check_role(me, HINTS["agent_stream"])
    board_id = me.seat.board_id if me.seat else None
    return Scope(me.organization.id, board_id=board_id, inbox_of=me.agent.id)


stream = streaming(
    _mine,
    operation_id="agent_stream",
    summary="Hear what happens",
    besides="Besides, `inbox`, without an `id`: look there. It may come once too often.",
    tags=HINTS["agent_stream"].tags,
    extensions=HINTS["agent_stream"].extensions,
    is_for_agents=True,
)
