"""Confirms the draft of an onboarding: the board gets its goal, its rules and its lead at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from agents import messages
from agents.actions import create_agent
from agents.activity import Actor, Target, record
from agents.models import Agent, MessageKind
from agents.presence import RUNS_ITSELF
from boards import drafts
from boards.actions.boards import configure_board, locked_board
from boards.actions.drafting import NotFinished
from boards.actions.memory import remember
from boards.actions.seats import seat_agent
from boards.actions.sessions import Check, newest
from boards.interviewers import correlation_of
from boards.models import Board, Interviewer, OnboardingSession, OnboardingStatus, Seat, SeatRole


@transaction.atomic
def confirm_draft(
    board: Board,
    *,
    by: Actor,
    check: Check = lambda _: None,
    only: OnboardingSession | None = None,
) -> OnboardingSession:
    """Write the draft's goal and rules to the board and seat its lead, all or nothing, once.

    A board that has a lead keeps it, and that lead is told. Confirmed already, nothing changes.
    `check` is asked under the locks before. Raises `OnboardingNotFound`, `NotFinished`, and a
    `ValidationError` that names what the draft lacks.
    """
    # The board first, as whoever seats agents does: of two who confirm the second finds it done.
    locked = locked_board(board)
    session = newest(locked, only)
    if session.status == OnboardingStatus.CONFIRMED:
        return session
    check(session)
    if session.status != OnboardingStatus.COMPLETED:
        raise NotFinished
    draft: dict[str, Any] = dict(session.draft or {})
    drafts.check_complete(draft)
    rules = drafts.rules_of(draft, locked.approval_required)
    board = configure_board(locked, {**drafts.goal_of(draft), **rules}, by=by)
    seat = Seat.objects.select_related("agent__gateway").filter(board=board, role=SeatRole.LEAD)
    kept = seat.first()
    lead = kept.agent if kept else _seat_lead(board, session, draft, by)
    _write(session, lead=lead, lead_created=kept is None)
    remember(board, drafts.summary_of(draft), by=by, tags=["onboarding"], source="onboarding")
    about = Target(board_id=board.id, agent_id=lead.id)
    record(
        board.organization_id,
        "onboarding.confirmed",
        by=by,
        target=about,
        lead_created=session.lead_created,
        rules=sorted(rules),
    )
    _tell_all(board, session, drafts.summary_of(draft), by)
    return session


def _seat_lead(
    board: Board, session: OnboardingSession, draft: Mapping[str, Any], by: Actor
) -> Agent:
    """The lead that the draft describes: run by Signalbox, unless its interviewer is elsewhere."""
    fields = drafts.lead_of(draft, board.name)
    main = session.agent if session.interviewer == Interviewer.MAIN_AGENT else None
    if main is not None and main.kind == RUNS_ITSELF:
        # It is run where the main agent is, and reached through the same gateway.
        fields |= {"kind": RUNS_ITSELF, "gateway": main.gateway, "tools": None}
    lead = create_agent(board.organization, fields, by=by)
    seat_agent(board, lead, by=by, role=SeatRole.LEAD)
    return lead


def _write(session: OnboardingSession, *, lead: Agent, lead_created: bool) -> None:
    session.lead, session.lead_created = lead, lead_created
    session.status, session.confirmed_at = OnboardingStatus.CONFIRMED, timezone.now()
    session.save(update_fields=["lead", "lead_created", "status", "confirmed_at", "updated_at"])


def _tell_all(board: Board, session: OnboardingSession, summary: str, by: Actor) -> None:
    lead, asked_by = session.lead, session.agent
    assert lead is not None, "it has just been seated"
    words = f"The board {board.name!r} is set up, and you lead it."
    _tell(board, session, lead, f"{words}\n\n{summary}", by)
    if asked_by is not None and asked_by != lead:
        words = f"The draft for the board {board.name!r} was confirmed; {lead.name} leads it."
        _tell(board, session, asked_by, words, by)


def _tell(board: Board, session: OnboardingSession, to: Agent, words: str, by: Actor) -> None:
    letter = messages.Letter(
        kind=MessageKind.ONBOARDING,
        content=words,
        recipient=to,
        about=Target(board_id=board.id),
        correlation_id=correlation_of(session),
        facts={"is_over": True},
    )
    messages.notify(board.organization, letter, by=by)
