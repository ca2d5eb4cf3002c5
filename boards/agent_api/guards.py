"""Who may call what: agents only, each in its role, on its own board, in its organization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from agents.errors import Refusal
from agents.models import ActorKind, Agent, Organization
from agents.rest.authentication import SAFE_METHODS, Caller
from boards.agent_api.hints import MAIN, Hint, Role
from boards.errors import BoardNotFound, LeadsOnly
from boards.models import Board, Seat, SeatRole


class AgentsOnly(Refusal):
    """This part of the API is for agents; send an agent token."""

    code = "AGENTS_ONLY"
    status_code = 403


class GatewayMissing(Refusal):
    """An agent without a seat acts through a gateway, and this one has none."""

    code = "GATEWAY_MISSING"
    status_code = 403


class MainOnly(Refusal):
    """Only an agent without a seat may do this."""

    code = "MAIN_ONLY"
    status_code = 403


class SeatRequired(Refusal):
    """Only an agent with a seat on the board may do this."""

    code = "SEAT_REQUIRED"
    status_code = 403


class WorkersOnly(Refusal):
    """Only a worker may do this; a lead gives work to others."""

    code = "WORKERS_ONLY"
    status_code = 403


class OtherBoard(Refusal):
    """The agent has its seat on another board."""

    code = "OTHER_BOARD"
    status_code = 403


@dataclass(frozen=True, slots=True)
class Me:
    """The agent that calls, and its seat."""

    agent: Agent
    organization: Organization
    seat: Seat | None

    @property
    def role(self) -> Role:
        if self.seat is None:
            return Role.MAIN
        return Role.LEAD if self.seat.role == SeatRole.LEAD else Role.WORKER


class AgentPermission(BasePermission):
    """The agent's role is one of the operation's; the board of the path is one it may reach.

    Afterwards the view has `me`, and `board` where its path names one.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        caller = request.auth
        if not isinstance(caller, Caller):
            return False
        me = me_of(caller)
        hint = hint_of(view)
        board = _board(me, view.kwargs["board_id"]) if "board_id" in view.kwargs else None
        check_role(me, hint, needs_gateway=getattr(view, "needs_gateway", True))
        if request.method not in SAFE_METHODS:
            check_board_of_run(me, caller)
        vars(view).update(me=me, board=board)
        return True


def hint_of(view: Any) -> Hint:
    """The hint of the operation that the view is asked for."""
    hint: Hint = getattr(view, view.action).hint
    return hint


def me_of(caller: Caller) -> Me:
    """The agent that calls. Raises AgentsOnly."""
    if caller.kind != ActorKind.AGENT or caller.agent is None or caller.organization is None:
        raise AgentsOnly
    seat = Seat.objects.select_related("board__organization").filter(agent=caller.agent).first()
    if seat is not None and seat.board.organization_id != caller.organization.id:
        # It cannot be said whose it is: nothing is answered.
        raise AgentsOnly
    return Me(caller.agent, caller.organization, seat)


def _board(me: Me, board_id: UUID) -> Board:
    """The board of the path. Raises BoardNotFound (404) and OtherBoard (403)."""
    if me.seat is not None and me.seat.board_id == board_id:
        return me.seat.board
    boards = Board.objects.select_related("organization").filter(organization=me.organization)
    board = boards.filter(pk=board_id).first()
    if board is None:
        raise BoardNotFound
    if me.seat is not None:
        raise OtherBoard
    return board


def check_role(me: Me, hint: Hint, *, needs_gateway: bool = True) -> None:
    """Nothing, if the hint's operation is for the agent. Raises a refusal (403)."""
    if me.role not in hint.roles:
        raise _refusal(me.role, hint)
    if me.role is Role.MAIN and needs_gateway and me.agent.gateway_id is None:
        raise GatewayMissing


def check_board_of_run(me: Me, caller: Caller) -> None:
    """Nothing, if what the agent changes is the board of its run. Raises OtherBoard.

    The run has what that board wants a person to see, and no other's; and what a person approved
    was meant for it. The seat may be another one since the run was started.
    """
    if me.seat is None or caller.within is None or me.seat.board_id == caller.within.board_id:
        return
    raise OtherBoard("The agent has its seat on another board than this run, which changes none.")


def _refusal(role: Role, hint: Hint) -> Refusal:
    if hint.roles == MAIN:
        return MainOnly()
    if Role.LEAD not in hint.roles:
        return WorkersOnly() if role is Role.LEAD else SeatRequired()
    return SeatRequired() if Role.WORKER in hint.roles else LeadsOnly()
