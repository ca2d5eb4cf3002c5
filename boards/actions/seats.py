"""Seats agents on boards, and takes them off.

The board is locked first, as for every change of its tasks: who is given one still has a seat.
"""

from __future__ import annotations

from django.db import IntegrityError, transaction
from django.db.models import Q

from agents.activity import Actor, Target, record
from agents.models import Agent
from boards.actions.boards import locked_board, refuse_if_live
from boards.actions.tasks import hand_back
from boards.errors import AlreadySeated, ForeignAgent, LeadTaken, SeatNotFound
from boards.models import Board, Seat, SeatRole

_UNIQUE_VIOLATION = "23505"


@transaction.atomic
def seat_agent(board: Board, agent: Agent, *, by: Actor, role: str = SeatRole.WORKER) -> Seat:
    """Give an agent its place on a board. Raises `AlreadySeated`, `LeadTaken`, `ForeignAgent`."""
    if agent.organization_id != board.organization_id:
        raise ForeignAgent
    seat = _save(Seat(board=locked_board(board), agent=agent, role=role), is_new=True)
    _tell("seat.created", seat, by)
    return seat


@transaction.atomic
def change_seat(seat: Seat, role: str, *, by: Actor) -> Seat:
    """Make a worker the lead, or the lead a worker. Raises `LeadTaken`."""
    locked = _locked(seat)
    if locked.role != role:
        locked.role = role
        _save(locked, is_new=False)
        _tell("seat.updated", locked, by)
    return locked


@transaction.atomic
def unseat_agent(seat: Seat, *, by: Actor) -> None:
    """Take an agent off its board; its unfinished tasks there go back to the inbox.

    Raises `StillRunning` while it has a live execution on the board.
    """
    locked = _locked(seat)
    refuse_if_live(Q(agent=locked.agent, board_id=locked.board_id))
    hand_back(locked.board, locked.agent, by=by)
    _tell("seat.deleted", locked, by)
    locked.delete()


def vacate(agent: Agent, by: Actor) -> None:
    """Hand back what an agent has that is about to be deleted; its seat goes with it."""
    seat = Seat.objects.select_related("board").filter(agent=agent).first()
    if seat is not None:
        hand_back(locked_board(seat.board), agent, by=by)


def _locked(seat: Seat) -> Seat:
    board = locked_board(seat.board)
    rows = Seat.objects.select_for_update(of=("self",)).select_related("agent")
    locked = rows.filter(pk=seat.pk, board=board).first()
    if locked is None:
        raise SeatNotFound
    locked.board = board
    return locked


def _save(seat: Seat, *, is_new: bool) -> Seat:
    try:
        with transaction.atomic():
            seat.save(force_insert=is_new, update_fields=None if is_new else ["role"])
    except IntegrityError as error:
        diagnosis = getattr(error.__cause__, "diag", None)
        if getattr(diagnosis, "sqlstate", None) != _UNIQUE_VIOLATION:
            raise
        is_lead = diagnosis and diagnosis.constraint_name == "one_lead_a_board"
        raise (LeadTaken if is_lead else AlreadySeated) from error
    return seat


def _tell(event: str, seat: Seat, by: Actor) -> None:
    about = Target(agent_id=seat.agent_id, board_id=seat.board_id)
    record(seat.board.organization_id, event, by=by, target=about, role=seat.role)
