"""What agents say to people, to leads, and hear themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from agents import messages, outbox
from agents.errors import GatewayFailed, GatewayUnreachable, Refusal
from agents.models import Agent, Message, MessageKind, MessageState
from agents.rest.authentication import caller_of
from agents.rest.follow_up import FollowedUp
from boards.actions import leads, questions
from boards.agent_api.base import DONE, AgentViewSet, OkSerializer, delivered
from boards.agent_api.operation import operation
from boards.agent_api.serializers import (
    AskedSerializer,
    BroadcastSerializer,
    BroadcastToldSerializer,
    InboxSerializer,
    LeadToldSerializer,
    LeadWordSerializer,
    PatienceSerializer,
    QuestionSerializer,
)
from boards.errors import BoardNotFound
from boards.models import Board
from boards.views.tasks import OldestFirst

_KINDS = {"question": MessageKind.LEAD_QUESTION, "handoff": MessageKind.LEAD_HANDOFF}
MOST_BOARDS = 200


class MessageNotFound(Refusal):
    """There is no such message in this inbox."""

    code = "MESSAGE_NOT_FOUND"
    status_code = 404


class TooManyBoards(Refusal):
    """A broadcast reaches a limited number of boards; name those that are meant."""

    code = "TOO_MANY_BOARDS"
    status_code = 422


class QuestionViewSet(AgentViewSet[Agent]):
    queryset = Agent.objects.all()

    @operation(
        "agent_lead_ask_user_via_gateway_main",
        "Ask people",
        request=QuestionSerializer,
        responses=AskedSerializer,
    )
    def create(self, request: Request, board_id: UUID) -> Response:
        within = caller_of(request).within
        asked = questions.Question(
            **self.asked(QuestionSerializer), execution_id=within.execution_id if within else None
        )
        _require_gateway_on(self.me.agent)
        message = questions.ask_people(self.board, asked, by=self.actor)
        told = {
            "ok": True,
            "message_id": message.id,
            "correlation_id": message.correlation_id,
        }
        return Response(AskedSerializer(told).data)


class LeadMessageViewSet(AgentViewSet[Agent]):
    queryset = Agent.objects.all()

    @operation(
        "agent_main_message_board_lead",
        "Tell a board's lead",
        request=LeadWordSerializer,
        responses=LeadToldSerializer,
    )
    def create(self, request: Request, board_id: UUID) -> Response:
        word = _word(self.asked(LeadWordSerializer))
        _require_gateway_on(self.me.agent)
        message, is_new = leads.message_lead(self.board, word, by=self.actor, main=self.me.agent)
        told = {
            "lead_agent_id": message.recipient_id,
            "lead_agent_name": message.recipient_name,
            "lead_created": is_new,
        }
        return delivered(message, LeadToldSerializer(told).data)


class BroadcastViewSet(AgentViewSet[Agent]):
    queryset = Agent.objects.all()

    @operation(
        "agent_main_broadcast_lead_message",
        "Tell the leads of boards",
        request=BroadcastSerializer,
        responses={200: BroadcastToldSerializer, 207: BroadcastToldSerializer},
    )
    def create(self, request: Request) -> Response:
        asked = self.asked(BroadcastSerializer)
        boards = self._boards(asked.pop("board_ids", None))
        _require_gateway_on(self.me.agent)
        told = leads.broadcast(boards, _word(asked, MessageKind.BROADCAST), by=self.actor)
        return FollowedUp(_summary(_shown(told)), follow_up=lambda: _delivered(told))

    def _boards(self, wanted: list[UUID] | None) -> list[Board]:
        rows = Board.objects.select_related("organization")
        mine = rows.filter(organization=self.me.organization).order_by("pk")
        if wanted is not None:
            found = list(mine.filter(pk__in=wanted))
            if missing := set(wanted) - {board.id for board in found}:
                raise BoardNotFound(unknown_board_ids=sorted(missing))
            return found
        found = list(mine[: MOST_BOARDS + 1])
        if len(found) > MOST_BOARDS:
            raise TooManyBoards(maximum=MOST_BOARDS)
        return found


class InboxViewSet(AgentViewSet[Message]):
    queryset = Message.objects.all()
    serializer_class = InboxSerializer
    pagination_class = OldestFirst
    needs_gateway = False

    query_parameters = {"list": ("wait_seconds",)}

    @operation(
        "agent_inbox",
        "Read my inbox",
        parameters=[PatienceSerializer],
        responses=InboxSerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        """A page; of an empty inbox with the caller's patience, for whoever can wait."""
        asked = PatienceSerializer(data=request.query_params.dict())
        asked.is_valid(raise_exception=True)
        answer = self.paged(messages.inbox_of(self.me.agent), InboxSerializer)
        if not answer.data["results"] and asked.validated_data["wait_seconds"]:
            seconds = asked.validated_data["wait_seconds"]
            answer.patience = Patience(self.me.agent.id, seconds)  # type: ignore[attr-defined]
        return answer

    @operation("agent_inbox_ack", "Acknowledge a message", request=None, responses=OkSerializer)
    def ack(self, request: Request, message_id: UUID) -> Response:
        mine = Message.objects.filter(recipient=self.me.agent).exclude(state=MessageState.FAILED)
        message = mine.filter(pk=message_id).first()
        if message is None:
            raise MessageNotFound
        messages.acknowledge(message, by=self.me.agent)
        return Response(DONE)


@dataclass(frozen=True, slots=True)
class Patience:
    """For whose inbox, and for how long at most, a caller waits."""

    agent_id: UUID
    seconds: int


def _require_gateway_on(agent: Agent) -> None:
    """The agent's own gateway, through which it speaks, is not switched off."""
    if agent.gateway is not None and not agent.gateway.is_enabled:
        raise GatewayUnreachable


def _word(asked: dict[str, Any], otherwise: MessageKind = MessageKind.LEAD_QUESTION) -> leads.Word:
    kind = _KINDS.get(asked.get("kind", ""), otherwise)
    return leads.Word(kind, asked["content"], asked.get("correlation_id", ""))


def _delivered(told: list[leads.Told]) -> Response:
    """What came of a broadcast, each message tried. Raises GatewayFailed if no lead was reached."""
    outbox.deliver_now([each.message for each in told if each.message])
    results = _shown(told)
    if results and not any(each["ok"] for each in results):
        raise GatewayFailed("No lead was reached.", results=results)
    summary = _summary(results)
    return Response(summary, status=200 if summary["ok"] else 207)


def _summary(results: list[dict[str, Any]]) -> Any:
    sent = sum(each["ok"] for each in results)
    failed = len(results) - sent
    told = {"ok": not failed, "sent": sent, "failed": failed, "results": results}
    return BroadcastToldSerializer(told).data


def _shown(told: list[leads.Told]) -> list[dict[str, Any]]:
    return [
        {
            "board_id": str(each.board.id),
            "lead_agent_id": each.lead and str(each.lead.id),
            "ok": not _problem_of(each),
            "error": _problem_of(each),
        }
        for each in told
    ]


def _problem_of(told: leads.Told) -> str:
    """Why a lead was not told; what a gateway said of it is for operators only."""
    if told.problem:
        return told.problem
    has_failed = told.message is not None and told.message.state == MessageState.FAILED
    return str(GatewayFailed().detail) if has_failed else ""
